"""A function that stands in for a user's own: a small Python file of the same name."""

from __future__ import annotations

import pprint
from collections.abc import Sequence
from pathlib import Path

from finesight.data.standins.files import write_pictures
from finesight.data.standins.pictures import picture_name
from finesight.data.standins.rows import vqa_cells
from finesight.recipe.sources import PythonSource

_FILE = '''"""Stand-in rows, for a rehearsal."""

ROWS = {rows}


def {name}(**arguments):
    """Yield the rows, whatever the arguments."""
    yield from ROWS
'''


def write_python(spec: PythonSource, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write a Python file whose function gives questions about each picture, and return how many rows that are.

    The function has the recipe's name for it and takes any arguments; its rows have the recipe's columns. Paths of
    `spec` start from `folder`. Without `pictures` the rows show none.
    """
    images = {number: picture_name(number) if pictures else None for number in numbers}
    rows = [cells for number in numbers for cells in vqa_cells(number, spec.columns, images[number])]
    file = folder / spec.file
    file.parent.mkdir(parents=True, exist_ok=True)
    text = _FILE.format(rows=pprint.pformat(rows, width=120, sort_dicts=False), name=spec.function)
    file.write_text(text, encoding="utf-8")
    if pictures:
        write_pictures(folder / spec.images, numbers)
    return len(rows)
