"""Finding the images that rows name, in the folder that they start from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from finesight.data.image_cache import hash_files
from finesight.data.images import FileImage, find_unusable
from finesight.data.sources.faults import Faults, missing_file
from finesight.data.sources.json_rows import Row

_COCO_ID = re.compile(r"(?<!\d)\d{12}(?!\d)")
_COCO_DIGITS = 12


class ImageFolder:
    """A folder of images.

    A name is looked for as a path from the folder, then by its last piece alone, then by the 12-digit number that
    COCO's files carry: `coco/train2017/000000253464.jpg` finds `COCO_train2014_000000253464.jpg`. A last piece without
    such a number counts only where one name of the data leads to the file: `a/1.jpg` and `b/1.jpg` are not one image.
    """

    def __init__(self, folder: Path, data_root: Path) -> None:
        if not folder.is_dir():
            raise missing_file("folder of images", folder, data_root)
        self._folder = folder
        self._found: dict[str, Path | None] = {}
        self._named_by: dict[Path, str] = {}
        self._files: dict[str, Path] = {}
        self._coco: dict[str, Path] = {}
        self._indexed = False

    def find(self, name: str, where: str, faults: Faults) -> Path | None:
        """Return where the image lies, or note in `faults` that it is missing or cannot be told from another."""
        plain = name.replace("\\", "/")
        if plain not in self._found:
            direct = self._folder / plain
            self._found[plain] = direct if direct.is_file() else self._elsewhere(plain)
        path = self._found[plain]
        if path is None:
            hint = f"image names start from the folder {self._folder}"
            faults.add("image file missing", f"{where}: {name}", hint=hint)
        elif self._named_by.setdefault(path, plain) != plain and not _COCO_ID.search(path.name):
            self._note_shared(path, plain, where, faults)
        return path

    def _note_shared(self, path: Path, name: str, where: str, faults: Faults) -> None:
        other = self._named_by[path]
        if self._folder / name != path or self._folder / other != path:
            faults.add(
                "different image names lead to one file",
                f"{where}: {name} and {other}",
                hint=f"the names are not paths from the folder {self._folder}; give the right one in `images`",
            )

    def _elsewhere(self, name: str) -> Path | None:
        if not self._indexed:
            self._index()
        last = name.rsplit("/", 1)[-1]
        number = _COCO_ID.search(last)
        digits = number.group() if number else last.zfill(_COCO_DIGITS) if last.isdigit() else ""
        return self._files.get(last) or self._coco.get(digits)

    def _index(self) -> None:
        self._files = {path.name: path for path in sorted(self._folder.iterdir()) if path.is_file()}
        shared: set[str] = set()
        for path in self._files.values():
            for digits in _COCO_ID.findall(path.name):
                if digits in self._coco:
                    shared.add(digits)
                self._coco[digits] = path
        for digits in shared:
            del self._coco[digits]
        self._indexed = True


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
