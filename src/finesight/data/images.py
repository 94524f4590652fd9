"""Images that are not decoded yet: files, and bytes inside a table. Decoded, they are upright RGB."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from finesight.data.image_cache import hash_files, known_to_decode, remember_decoded
from finesight.errors import DataError
from finesight.runtime import follow
from finesight.schema import ImageSource
from finesight.whole_files import written_whole

if TYPE_CHECKING:
    from datasets import Dataset

THUMBNAIL_SIDE_PIXELS = 224
THUMBNAILS = "thumbs"
"""The folder of small copies in a run folder."""
_NAMED_FAULTS = 10
_DECODING_THREADS = min(8, os.cpu_count() or 1)
_DECODED_AT_ONCE = 500

# What Pillow raises on damaged files beside OSError, as its decoders stumble over one field or another.
_DECODER_ERRORS = (
    SyntaxError,
    ValueError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class StoredImage:
    """An image that somebody stored: another may be a copy of it, saved anew. What finesight draws itself is none."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FileImage(StoredImage):
    """An image in a file of its own."""

    path: Path
    name: str
    """The path as the data set gives it."""
    known_hash: str = ""
    """The content hash, where the reader has already looked."""

    def open(self) -> Image.Image:
        """Return the picture in RGB, upright. Raise `OSError` when it is missing or damaged."""
        with self.path.open("rb") as file:
            return decode(file)

    def content_hash(self) -> str:
        """Return the SHA-256 of the file's bytes. Raise `OSError` when it is missing."""
        return self.known_hash or hash_files([self.path])[self.path]


@dataclass(frozen=True, slots=True)
class TableImage(StoredImage):
    """An image whose bytes lie in a memory-mapped table."""

    table: Dataset = field(repr=False)
    """In Arrow format, so that nothing is decoded on the way."""
    column: str
    row: int
    name: str
    known_hash: str
    position: int = 0
    """Which image of the row, where a row holds a list of them."""

    def open(self) -> Image.Image:
        """Return the picture in RGB, upright. Raise `OSError` when it is damaged."""
        return decode(io.BytesIO(self._stored_bytes()))

    def content_hash(self) -> str:
        """Return the SHA-256 of the stored bytes."""
        return self.known_hash

    def _stored_bytes(self) -> bytes:
        cell = self.table[self.row].column(self.column)[0].as_py()
        chosen = cell[self.position] if isinstance(cell, list) else cell
        stored: bytes = chosen["bytes"] if isinstance(chosen, dict) else chosen
        return stored


def decode(file: BinaryIO) -> Image.Image:
    """Return the picture in `file`: upright by its EXIF note, in RGB, transparent parts on white.

    Raises `OSError` whatever is wrong with the file.
    """
    try:
        with Image.open(file) as image:
            return upright_rgb(image)
    except _DECODER_ERRORS as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def upright_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture as a model sees it: upright by its EXIF note, in RGB, transparent parts on white.

    Raises `OSError` whatever is wrong with it: Pillow reads a file's pixels only when they are asked for.
    """
    try:
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture))
    except _DECODER_ERRORS as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def write_thumbnail(image: ImageSource, folder: Path) -> str:
    """Write a small JPEG copy (side at most 224 pixels) into `folder`, once, and return its file name.

    Raises `OSError` when it cannot be decoded.
    """
    name = thumbnail_name(image)
    target = folder / name
    if not target.exists():
        small = image.open()
        small.thumbnail((THUMBNAIL_SIDE_PIXELS, THUMBNAIL_SIDE_PIXELS))
        with written_whole(target) as partial:
            small.save(partial, format="JPEG", quality=85)
    return name


def thumbnail_name(image: ImageSource) -> str:
    """Return the file name of an image's small copy, after its content hash: equal images share a copy."""
    return f"{image.content_hash()[:32]}.jpg"


def verify_images(sources: Iterable[ImageSource]) -> None:
    """Decode every distinct image completely, once: what decoded in an earlier run is not decoded again.

    Raises one `DataError` that counts all missing and damaged images and names the first of them.
    """
    if faults := find_unusable(sources):
        raise DataError(_describe_faults(faults), hint="replace these files, or take their rows out of the data")


def find_unusable(sources: Iterable[ImageSource]) -> list[tuple[str, str]]:
    """Return name and fault of every image that is missing or does not decode completely; `verify_images` says how."""
    faults: list[tuple[str, str]] = []
    distinct: dict[str, ImageSource] = {}
    for source in dict.fromkeys(sources):
        try:
            distinct.setdefault(source.content_hash(), source)
        except OSError as error:
            faults.append((source.name, _reason(error)))
    known = known_to_decode(distinct)
    unknown = {content_hash: source for content_hash, source in distinct.items() if content_hash not in known}
    followed = follow(unknown, "Decoding the images", len(unknown))
    with ThreadPoolExecutor(_DECODING_THREADS) as threads:
        # Some at a time: what is handed to threads all at once is held in memory all at once.
        while names := list(itertools.islice(followed, _DECODED_AT_ONCE)):
            reasons = dict(zip(names, threads.map(_why_not, (unknown[name] for name in names)), strict=True))
            faults += [(unknown[name].name, reason) for name, reason in reasons.items() if reason]
            remember_decoded(name for name, reason in reasons.items() if not reason)
    return faults


def hash_bytes(stored: bytes | memoryview) -> str:
    """Return the SHA-256 of an image's stored bytes, in hexadecimal."""
    return hashlib.sha256(stored).hexdigest()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise OSError("its pixels are floating point numbers, whose range is not defined")
    if image.mode.startswith("I"):
        return _grey_to_rgb(numpy.asarray(image), image.info.get("transparency"))
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")


def _grey_to_rgb(pixels: numpy.ndarray, transparent: int | None) -> Image.Image:
    # Pillow's own conversion clips 16-bit greyscale at 255, which turns most X-rays white.
    grey = (pixels.clip(0, 65535) // 256).astype(numpy.uint8)
    if transparent is not None:
        grey[pixels == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _why_not(source: ImageSource) -> str:
    try:
        source.open()
    except OSError as error:
        return _reason(error)
    return ""


def _reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "missing"
        case UnidentifiedImageError():
            return "not an image"
        case _:
            return error.strerror or str(error)


def _describe_faults(faults: list[tuple[str, str]]) -> str:
    count = len(faults)
    lines = [f"{count:,} {'image' if count == 1 else 'images'} cannot be used:"]
    lines += [f"  {name}: {reason}" for name, reason in faults[:_NAMED_FAULTS]]
    if count > _NAMED_FAULTS:
        lines.append(f"  and {count - _NAMED_FAULTS:,} more")
    return "\n".join(lines)
