"""Finding the images that rows name, in the folder that they start from."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from finesight.data.image_cache import hash_files
from finesight.data.images import FileImage, find_unusable
from finesight.data.sources.faults import Faults, missing_file
from finesight.data.sources.json_rows import Row

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_COCO_ID = re.compile(r"(?<!\d)\d{12}(?!\d)")
_COCO_DIGITS = 12
_MOST_LETTERS = 4096
"""A longer name is no path on any system, but perhaps an image in base64."""


class ImageFolder:
    """A folder of images.

    A name is looked for as a path from the folder, then without its first folders, one after the other, and then by
    the 12-digit number that COCO's files carry, in all folders below: `coco/train2017/000000253464.jpg` finds
    `2014/COCO_train2014_000000253464.jpg`. A name without such a number that is not the whole path counts only where
    no other name of the data leads to its file: `a/1.jpg` and `b/1.jpg` are not one image.
    """

    def __init__(self, folder: Path, data_root: Path) -> None:
        if not folder.is_dir():
            raise missing_file("folder of images", folder, data_root)
        self._folder = folder
        self._found: dict[str, tuple[Path, ...]] = {}
        self._named_by: dict[Path, str] = {}
        self._numbered: dict[str, list[Path]] | None = None

    def find(self, name: str, where: str, faults: Faults) -> Path | None:
        """Return where the image lies, or note in `faults` that it is missing or cannot be told from another."""
        plain = name.replace("\\", "/")
        if plain not in self._found:
            self._found[plain] = self._look_for(plain)
        match self._found[plain]:
            case ():
                hint = f"image names start from the folder {self._folder}"
                faults.add("image file missing", f"{where}: {name}", hint=hint)
                return None
            case (path,):
                if self._named_by.setdefault(path, plain) != plain and not _COCO_ID.search(path.name):
                    self._note_shared(path, plain, where, faults)
                return path
            case several:
                files = " and ".join(str(path.relative_to(self._folder)) for path in several[:2])
                hint = "give the folder of the right ones in `images`"
                faults.add("several image files have the number", f"{where}: {name}: {files}", hint=hint)
                return None

    def _note_shared(self, path: Path, name: str, where: str, faults: Faults) -> None:
        other = self._named_by[path]
        if self._folder / name != path or self._folder / other != path:
            faults.add(
                "different image names lead to one file",
                f"{where}: {name} and {other}",
                hint=f"the names are not paths from the folder {self._folder}; give the right one in `images`",
            )

    def _look_for(self, name: str) -> tuple[Path, ...]:
        if len(name) > _MOST_LETTERS:
            return ()
        pieces = name.split("/")
        for start in range(len(pieces)):
            path = self._folder / "/".join(pieces[start:])
            if _is_file(path):
                return (path,)
        last = pieces[-1]
        number = _COCO_ID.search(last)
        digits = number.group() if number else last.zfill(_COCO_DIGITS) if last.isdecimal() else ""
        return tuple(self._with_number(digits)) if digits else ()

    def _with_number(self, digits: str) -> Sequence[Path]:
        if self._numbered is None:
            self._numbered = {}
            for path in _files_below(self._folder):
                if number := _COCO_ID.search(path.name):
                    self._numbered.setdefault(number.group(), []).append(path)
        return self._numbered.get(digits, [])


def find_images(
    rows: Sequence[Row], names: Sequence[Sequence[str]], folder: Path, data_root: Path, faults: Faults
) -> dict[str, FileImage]:
    """Return an image, with its content hash, for each of the `names` that the rows give; each file is read once.

    Names whose file is missing are noted in `faults`, and then damaged files too. Raises `DataError` when the folder is
    missing.
    """
    if not any(names):
        return {}
    searched = ImageFolder(folder, data_root)
    paths = {
        name: path
        for row, row_names in zip(rows, names, strict=True)
        for name in row_names
        if (path := searched.find(name, row.where, faults))
    }
    hashes = hash_files(paths.values())
    images = {name: FileImage(path, name, hashes[path]) for name, path in paths.items()}
    if any(name not in images for row_names in names for name in row_names):
        # The data are refused: whoever mends the missing files should hear of the damaged ones now, not after.
        for name, reason in find_unusable(images.values()):
            faults.add("image cannot be used", f"{name}: {reason}")
    return images


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below, through links too, each folder once: links may go round in a circle."""
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(folders) if real not in entered else []
        if real not in entered:
            yield from (Path(place, name) for name in sorted(names))
        entered.add(real)
