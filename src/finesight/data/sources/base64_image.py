"""Images that stand as base64 in the cells of a text file: decoded when they are opened, never held."""

from __future__ import annotations

import base64
import io
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from finesight.data.images import StoredImage, decode, hash_bytes
from finesight.data.sources.faults import Faults

_FEWEST_LETTERS = 90
"""The smallest PNG takes 92 letters, a file named by its SHA-256 has 64."""
_LONGEST_NAME = 4096
_DATA_URL = "data:"


@dataclass(frozen=True, slots=True)
class Base64Image(StoredImage):
    """An image whose bytes stand as base64 in a text file."""

    path: Path
    """The text file."""
    offset: int
    """Where in the file the base64 begins, in bytes."""
    length: int
    """How many bytes of the file it takes."""
    name: str
    known_hash: str

    def open(self) -> Image.Image:
        """Return the picture in RGB, upright. Raise `OSError` when it is damaged, or the file has changed."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            text = file.read(self.length)
        stored = _decode(text)
        if stored is None or hash_bytes(stored) != self.known_hash:
            raise OSError(f"{self.path.name} has changed since it was read")
        return decode(io.BytesIO(stored))

    def content_hash(self) -> str:
        """Return the SHA-256 of the image's bytes, as its own file would have it."""
        return self.known_hash


class Base64Cells:
    """Finds the images of a text file whose rows are read one after the other.

    The rows' reader gives no offsets, but base64 needs no quotes and no escapes: a cell stands in the file letter by
    letter, behind the cells of the rows before it. So the file is searched once in all, from its beginning to its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._searched = 0

    def find(self, cell: Any, where: str, faults: Faults) -> Any:
        """Return a row's cell with the images in it for their base64; names and all else stay as they are.

        Base64 that is damaged is noted in `faults`, and gives None. Raises `DataError` with all faults so far at the
        first that is written with escapes.
        """
        if isinstance(cell, list):
            return [self.find(entry, where, faults) for entry in cell]
        text = cell.strip() if isinstance(cell, str) else ""
        return self._image(text, where, faults) if is_base64(text) else cell

    def _image(self, cell: str, where: str, faults: Faults) -> Base64Image | None:
        text = (cell.partition(",")[2] if cell.startswith(_DATA_URL) else cell).encode(errors="surrogateescape")
        stored = _decode(text)
        if stored is None:
            faults.add("the image is damaged base64", where)
            return None
        offset = self._file.find(text, self._searched)
        if offset < 0:
            faults.add("the image's base64 is written with escapes", where, hint="write `/` for `\\/`, in one line")
            # At once: each further row of such a file would be searched for up to the file's end.
            faults.raise_if_any()
        self._searched = offset + len(text)
        return Base64Image(self._path, offset, len(text), f"{self._path.name} {where}", hash_bytes(stored))

    @cached_property
    def _file(self) -> mmap.mmap:
        with self._path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def is_base64(cell: str) -> bool:
    """Return whether a cell is an image rather than its name: a name is short, or has a dot, which base64 has not."""
    return cell.startswith(_DATA_URL) or len(cell) > _LONGEST_NAME or (len(cell) >= _FEWEST_LETTERS and "." not in cell)


def _decode(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        return None
