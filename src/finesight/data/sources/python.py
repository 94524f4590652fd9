"""A user's own function as a source: the door for data that no other kind reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import Row
from finesight.data.sources.kept_images import keep_bytes, keep_picture
from finesight.data.sources.user_function import call_function
from finesight.data.sources.vqa_rows import mapped_columns, read_questions
from finesight.errors import DataError
from finesight.recipe.sources import PythonSource
from finesight.schema import Example

_ROW_HINT = "a row is a dictionary in the recipe's columns, as {'image': 'a.png', 'question': '…', 'answer': '…'}"
_PLAIN = (str, int, float, list, dict, type(None))


def read_python(spec: PythonSource, data_root: Path) -> list[Example]:
    """Return the questions that the function gives, in its order. Raises one `DataError` that names every fault.

    A row's image is a name in the folder `images`, a path, the bytes of an image file, a decoded picture, or a list of
    these. Bytes and pictures are kept in the cache. What the function raises ends the reading at once.
    """
    path = data_root / spec.file
    faults = Faults(f"{path}, {spec.function}()")
    return read_questions(_rows(spec, path, data_root, faults), spec, data_root, faults)


def _rows(spec: PythonSource, path: Path, data_root: Path, faults: Faults) -> Iterator[Row]:
    number = 0
    for number, given in enumerate(call_function(path, spec.function, spec.arguments, data_root), start=1):
        where = f"row {number:,}"
        if isinstance(given, Mapping):
            content = {str(name): _plain(cell) for name, cell in given.items()}
            image = spec.columns.image
            if image in content:
                content[image] = _image(given[image], f"{path.name} {where}", where, faults)
            _check_plain(content, spec, where, faults)
            yield Row(number, where, content)
        else:
            faults.add(f"not a dictionary, but of the type {type(given).__name__}", where, hint=_ROW_HINT)
    if not number:
        raise DataError(f"{path}: {spec.function} gives no rows", hint=_ROW_HINT)


def _plain(cell: Any) -> Any:
    """Return a cell as JSON would give it: tables and arrays have numbers of their own, and tuples are lists."""
    if isinstance(cell, numpy.generic):
        return cell.item()
    return list(cell) if isinstance(cell, tuple) else cell


def _check_plain(content: dict[str, Any], spec: PythonSource, where: str, faults: Faults) -> None:
    for meaning, column in mapped_columns(spec.columns).items():
        cell = content.get(column)
        if column != spec.columns.image and not isinstance(cell, _PLAIN):
            faults.add(f"{meaning.replace('_', ' ')} is of the type {type(cell).__name__}, not text", where)
            # As text it would be learned as Python shows the object.
            content[column] = type(cell).__name__


def _image(cell: Any, name: str, where: str, faults: Faults) -> Any:
    """Return what the row shows: names of files as they are, bytes and pictures as images in the cache."""
    match cell:
        case list() | tuple():
            return [_image(entry, name, where, faults) for entry in cell]
        case bytes() | bytearray() | memoryview():
            return keep_bytes(bytes(cell), name)
        case Image.Image():
            return _picture(cell, name, where, faults)
        case PathLike():
            return fsdecode(cell)
        case str() | int() | float() | None:
            return cell
        case _:
            hint = "an image is a name, a path, bytes, or a PIL picture, or a list of these"
            faults.add(f"image is of the type {type(cell).__name__}", where, hint=hint)
            return None


def _picture(picture: Image.Image, name: str, where: str, faults: Faults) -> Any:
    try:
        return keep_picture(picture, name)
    except OSError as error:
        faults.add("image cannot be used", f"{where}: {error}")
        return None
