"""The images of rows, whether their cells give names of files or the images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finesight.data.images import FileImage
from finesight.data.sources.base64_image import Base64Image
from finesight.data.sources.cells import names_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.image_folder import find_images
from finesight.data.sources.json_rows import Row
from finesight.schema import ImageSource

_Given = str | FileImage | Base64Image


def images_of(
    rows: Sequence[Row], column: str, folder: Path, data_root: Path, faults: Faults
) -> list[tuple[ImageSource, ...]]:
    """Return each row's images: none, one, or those of a list. Names are looked for in `folder`.

    What is no name, and names whose file is missing, are noted in `faults`. Raises `DataError` when there are names
    and the folder is missing.
    """
    given = [_given(row.content.get(column), row.where, faults) for row in rows]
    names = [[one for one in row_given if isinstance(one, str)] for row_given in given]
    found = find_images(rows, names, folder, data_root, faults)
    return [tuple(image for one in row_given if (image := _image(one, found))) for row_given in given]


def _given(cell: Any, where: str, faults: Faults) -> list[_Given]:
    given: list[_Given] = []
    for entry in cell if isinstance(cell, list) else [cell]:
        if isinstance(entry, FileImage | Base64Image):
            given.append(entry)
        else:
            given.extend(names_of(entry, where, faults))
    return given


def _image(given: _Given, found: dict[str, FileImage]) -> ImageSource | None:
    return found.get(given) if isinstance(given, str) else given
