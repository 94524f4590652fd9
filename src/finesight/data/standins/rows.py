"""Rows that stand in for a person's own, written in the form, the columns and the files that the recipe names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight.data.sources.vqa_rows import mapped_columns
from finesight.data.standins.pictures import COLOURS, draw_picture, picture_colour, picture_name
from finesight.recipe.data import LlavaJson, VqaColumns, VqaJson, VqaParquet

_PARQUET_FILE = "0000.parquet"
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

    Paths of `spec` start from `folder`. Without `pictures` the rows show none.
    """
    rows = []
    for number in numbers:
        both = questions_about(number)
        for place, asked in enumerate((both, both[1:]), start=1):
            row: dict[str, Any] = {"id": f"{number}-{place}"}
            if pictures:
                row["image"] = picture_name(number)
            rows.append({**row, "conversations": list(_conversation(asked, pictures=pictures))})
    _write_json(folder / spec.file, rows)
    if pictures:
        _write_pictures(folder / spec.images, numbers)
    return len(rows)


def write_vqa_json(spec: VqaJson, folder: Path, numbers: Sequence[int], *, pictures: bool) -> int:
    """Write questions about each picture in the recipe's own columns, and return how many rows that are.

    Paths of `spec` start from `folder`. Without `pictures` the rows show none.
    """
    images = {number: picture_name(number) if pictures else None for number in numbers}
    rows = [cells for number in numbers for cells in _cells(number, spec.columns, images[number])]
    _write_json(folder / spec.file, rows)
    if pictures:
        _write_pictures(folder / spec.images, numbers)
    return len(rows)


def write_vqa_parquet(spec: VqaParquet, folder: Path, numbers: Sequence[int], *, pictures: bool, one_file: bool) -> int:
    """Write questions about each picture, the picture's bytes beside them, and return how many rows that are.

    `spec.dataset` starts from `folder`: a file when it is `one_file`, else a folder with one folder a split. Without
    `pictures` the rows show none.
    """
    import pyarrow
    from pyarrow import parquet

    stored = {
        number: {"bytes": draw_picture(number), "path": picture_name(number)} if pictures else None
        for number in numbers
    }
    rows = [cells for number in numbers for cells in _cells(number, spec.columns, stored[number])]
    image_type = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {
        name: pyarrow.array([row[name] for row in rows], image_type if name == spec.columns.image else None)
        for name in rows[0]
    }
    file = folder / spec.dataset if one_file else folder / spec.dataset / spec.split / _PARQUET_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), file)
    return len(rows)


def _cells(number: int, columns: VqaColumns, image: Any) -> Iterator[dict[str, Any]]:
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


def _write_json(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    as_lines = file.suffix == ".jsonl"
    text = "".join(f"{json.dumps(row)}\n" for row in rows) if as_lines else json.dumps(rows, indent=1)
    file.write_text(text, encoding="utf-8")


def _write_pictures(folder: Path, numbers: Sequence[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / picture_name(number)).write_bytes(draw_picture(number))
