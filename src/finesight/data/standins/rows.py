"""Rows that stand in for a person's own, written in the form, the columns and the files that the recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight.data.sources.table_rows import holds_text
from finesight.data.sources.vqa_rows import mapped_columns
from finesight.data.standins.files import write_json, write_pictures, write_table
from finesight.data.standins.parquet_files import (
    file_of_split,
    image_type,
    stored_picture,
    write_image_table,
    write_parquet,
)
from finesight.data.standins.pictures import COLOURS, picture_colour, picture_name
from finesight.recipe.sources import LlavaJson, VqaColumns, VqaCsv, VqaJson, VqaParquet

_PICTURES_A_GROUP = 2
_WEIGHTIEST_LAST = ("answer_type", "question_type", "answers", "group", "id", "answer", "question", "image")
"""Where a recipe reads two things from one column, the column holds the weightier."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a picture, with its answer."""

    question: str
    answer: str
    question_type: str
    answer_type: str


def questions_about(number: int) -> tuple[Asked, Asked]:
    """Return two questions about picture `number`; no other picture is asked the same."""
    colour = picture_colour(number)
    guess = list(COLOURS)[number // 2 % len(COLOURS)]
    return (
        Asked(f"What colour is disc {number}?", colour, "colour", "OPEN"),
        Asked(f"Is disc {number} {guess}?", "yes" if guess == colour else "no", "exist", "CLOSED"),
    )


def stand_in_texts() -> list[str]:
    """Return what stand-in rows say: enough to learn a small tokenizer from."""
    return [
        text for number in range(100) for asked in questions_about(number) for text in (asked.question, asked.answer)
    ]


def write_llava_json(spec: LlavaJson, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write two conversations about each picture, one of them of two turns, and return how many rows that are.

    Rows name their pictures, in JSON and in parquet. Paths of `spec` start from `folder`. Without `pictures` the rows
    show none.
    """
    rows = []
    for number in numbers:
        both = questions_about(number)
        for place, asked in enumerate((both, both[1:]), start=1):
            row: dict[str, Any] = {"id": f"{number}-{place}"}
            if pictures:
                row["image"] = picture_name(number)
            rows.append({**row, "conversations": list(_conversation(asked, pictures=pictures))})
    file = folder / spec.file
    if holds_text(file):
        write_json(file, rows)
    else:
        import pyarrow

        columns = {name: pyarrow.array([row[name] for row in rows]) for name in rows[0]}
        write_parquet(file_of_split(file, spec.config, spec.split), columns)
    if pictures:
        write_pictures(folder / spec.images, numbers)
    return len(rows)


def write_vqa_json(spec: VqaJson, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write questions about each picture in the recipe's own columns, and return how many rows that are.

    Paths of `spec` start from `folder`. Without `pictures` the rows show none.
    """
    rows = _rows_beside_pictures(spec, folder, numbers, pictures=pictures)
    write_json(folder / spec.file, rows)
    return len(rows)


def write_vqa_csv(spec: VqaCsv, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write what `write_vqa_json` does, as a table."""
    rows = _rows_beside_pictures(spec, folder, numbers, pictures=pictures)
    write_table(folder / spec.file, rows)
    return len(rows)


def write_vqa_parquet(spec: VqaParquet, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write questions about each picture, the picture's bytes beside them, and return how many rows that are.

    `spec.dataset` starts from `folder`: a file where it is called one, else a folder with one folder a split, below
    that of the configuration where there is one. With an `image_table` the bytes lie there, and the rows hold the
    pictures' names. Without `pictures` the rows show none.
    """
    import pyarrow

    joined = spec.image_table is not None
    shown_type = pyarrow.string() if joined else image_type()
    show = picture_name if joined else stored_picture
    rows = [
        cells for number in numbers for cells in vqa_cells(number, spec.columns, show(number) if pictures else None)
    ]
    columns = {
        name: pyarrow.array([row[name] for row in rows], shown_type if name == spec.columns.image else None)
        for name in rows[0]
    }
    file = file_of_split(folder / spec.dataset, spec.config, spec.split)
    write_parquet(file, columns)
    if spec.image_table is not None:
        images = spec.image_table
        beside = file_of_split(folder / (images.dataset or spec.dataset), images.config, images.split or spec.split)
        # One file has no room for two tables; that is the recipe's own fault, and its reader says so.
        if beside != file and file not in beside.parents:
            write_image_table(beside, images.id, images.image, numbers)
    return len(rows)


def _rows_beside_pictures(
    spec: VqaJson | VqaCsv, folder: Path, numbers: Sequence[int], *, pictures: bool
) -> list[dict[str, Any]]:
    """Return rows about the pictures, and write the pictures into the folder that the rows' names start from."""
    if pictures:
        write_pictures(folder / spec.images, numbers)
    return [
        cells
        for number in numbers
        for cells in vqa_cells(number, spec.columns, picture_name(number) if pictures else None)
    ]


def vqa_cells(number: int, columns: VqaColumns, image: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows about a picture: two, or one where the picture's own name has to be the row's."""
    asked_about = questions_about(number)
    for place, asked in enumerate(asked_about[:1] if columns.id == columns.image else asked_about, start=1):
        meant = {
            "image": image,
            "question": asked.question,
            "answer": asked.answer,
            "id": f"{number}-{place}",
            "group": f"group {number // _PICTURES_A_GROUP}",
            "answers": [asked.answer, asked.answer.capitalize()],
            "question_type": asked.question_type,
            "answer_type": asked.answer_type,
        }
        mapped = mapped_columns(columns)
        yield {mapped[meaning]: meant[meaning] for meaning in _WEIGHTIEST_LAST if meaning in mapped}


def _conversation(asked: Sequence[Asked], *, pictures: bool) -> Iterator[dict[str, str]]:
    for place, exchange in enumerate(asked):
        tag = "<image>\n" if pictures and place == 0 else ""
        yield {"from": "human", "value": tag + exchange.question}
        yield {"from": "gpt", "value": exchange.answer}
