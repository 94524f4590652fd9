"""Multiple-choice questions that stand in for a person's own, in the form and the columns that the recipe names."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finesight.data.sources.table_rows import holds_text, is_table
from finesight.data.standins.files import write_pictures, write_rows
from finesight.data.standins.parquet_files import file_of_split, image_type, stored_picture, write_parquet
from finesight.data.standins.pictures import COLOURS, draw_picture, picture_colour, picture_name
from finesight.recipe.sources import ChoiceColumns, MultipleChoice

_PICTURES_A_GROUP = 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NOT_THERE = "nan"
_WEIGHTIEST_LAST = ("question_type", "group", "hint", "id", "answer", "question", "image")
"""Where a recipe reads two things from one column, the column holds the weightier."""


def write_multiple_choice(spec: MultipleChoice, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write two questions about each picture, and return how many rows that are.

    With `circular_step` the second is the first, its options rotated. A table holds the pictures in base64, unless the
    recipe names a folder of images. Paths of `spec` start from `folder`; what is neither table nor JSON is parquet, in
    one file when that is its name, else in a folder with one folder a split. Without `pictures` the rows show none.
    """
    # A recipe whose step is smaller than its questions are many cannot be read, whatever stands in.
    numbers = numbers[: spec.circular_step]
    file = folder / spec.file
    if not holds_text(file):
        shown: dict[int, Any] = {number: stored_picture(number) for number in numbers}
        rows = _rows(spec, numbers, shown if pictures else {})
        _write_parquet(file_of_split(file, spec.config, spec.split), rows, spec.columns.image)
        return len(rows)
    if is_table(file) and spec.images == ".":
        shown = {number: base64.b64encode(draw_picture(number)).decode() for number in numbers}
    else:
        shown = {number: picture_name(number) for number in numbers}
        if pictures:
            write_pictures(folder / spec.images, numbers)
    rows = _rows(spec, numbers, shown if pictures else {})
    write_rows(file, rows)
    return len(rows)


def _rows(spec: MultipleChoice, numbers: Sequence[int], shown: Mapping[int, Any]) -> list[dict[str, Any]]:
    return [
        cells
        for place, number in enumerate(numbers)
        for cells in _cells(place, number, spec.columns, shown.get(number), spec.circular_step)
    ]


def _cells(
    place: int, number: int, columns: ChoiceColumns, image: Any, circular_step: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the two rows about a picture, the `place`-th of the source."""
    places = 26 if isinstance(columns.options, str) else len(columns.options)
    right = picture_colour(number)
    # The right one and others: in two columns there is room for one other.
    offered = [right, *(colour for colour in COLOURS if colour != right)][:places]
    first = [*offered[number % len(offered) :], *offered[: number % len(offered)]]
    ids = (place, place + circular_step) if circular_step else (2 * place, 2 * place + 1)
    # Where the picture's own name has to be the row's, no second row can have it.
    for turned, name in enumerate(ids[:1] if columns.id == columns.image else ids):
        options = [*first[turned:], *first[:turned]]
        meant: dict[str, Any] = {
            "image": image,
            "hint": f"It is round; the picture is number {number}.",
            "question": f"What colour is disc {number}?",
            "answer": right if isinstance(columns.options, str) else _LETTERS[options.index(right)],
            "id": name,
            "group": f"group {number // _PICTURES_A_GROUP}",
            "question_type": "colour",
        }
        mapped = columns.model_dump(exclude={"options"}, exclude_none=True)
        yield {
            **_option_cells(options, columns),
            **{mapped[meaning]: meant[meaning] for meaning in _WEIGHTIEST_LAST if meaning in mapped},
        }


def _option_cells(options: Sequence[str], columns: ChoiceColumns) -> dict[str, Any]:
    if isinstance(columns.options, str):
        return {columns.options: list(options)}
    missing = [_NOT_THERE] * (len(columns.options) - len(options))
    return dict(zip(columns.options, [*options, *missing], strict=True))


def _write_parquet(file: Path, rows: Sequence[Mapping[str, Any]], image_column: str) -> None:
    import pyarrow

    columns = {
        name: pyarrow.array([row[name] for row in rows], image_type() if name == image_column else None)
        for name in rows[0]
    }
    write_parquet(file, columns)
