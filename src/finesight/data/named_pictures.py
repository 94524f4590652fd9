"""Pictures that a predictions file names: files in a folder, drawings among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from finesight.data.images import FileImage, hash_bytes, verify_images
from finesight.data.sources.drawings import DrawnImage
from finesight.errors import DataError
from finesight.recipe.sources import SvgCaptions
from finesight.schema import ImageSource

_SHOWN = 3


def pictures_named(names: Mapping[str, str], folder: Path) -> dict[str, ImageSource]:
    """Return the picture of each record by its id; `names` has the file's name, in `folder`, by the same id.

    An .svg file is rendered as a source of drawings does by default. Raises one `DataError` that counts the records
    without a name, or the files that are missing or damaged, and names the first of them.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", hint="give the folder in which the pictures lie")
    if without := [record_id for record_id, name in names.items() if not name]:
        first = ", ".join(without[:_SHOWN]) + (", …" if len(without) > _SHOWN else "")
        raise DataError(
            f"{len(without):,} of {len(names):,} records name no image: {first}",
            hint='a line needs the picture\'s file: {"id": "17", "image": "17.jpg", …}',
        )
    pictures = {record_id: _picture(folder / name, name) for record_id, name in names.items()}
    verify_images(pictures.values())
    return pictures


def _picture(path: Path, name: str) -> ImageSource:
    if path.suffix.lower() != ".svg" or not path.is_file():
        return FileImage(path, name)
    size = int(SvgCaptions.model_fields["image_size"].default)
    return DrawnImage(path, size, name, hash_bytes(f"{size} ".encode() + path.read_bytes()))
