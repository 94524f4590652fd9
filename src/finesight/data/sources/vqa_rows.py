"""What rows of questions have in common, whether they come from JSON or from parquet."""

from __future__ import annotations

from collections.abc import Collection

from finesight.data.groups import group_of
from finesight.data.sources.cells import answers_of, label_of, text_of
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.json_rows import Row
from finesight.recipe.data import VqaColumns
from finesight.schema import Example, ImageSource, Turn


def mapped_columns(columns: VqaColumns) -> dict[str, str]:
    """Return, for each meaning that the recipe maps, the column that holds it."""
    return {meaning: column for meaning, column in columns if column is not None}


def check_columns(columns: VqaColumns, there: Collection[str], faults: Faults) -> None:
    """Note each mapped column that the data does not have, with those that it has."""
    for meaning, column in mapped_columns(columns).items():
        if column not in there:
            faults.add(
                f"no column `{column}` for the {meaning.replace('_', ' ')}; the columns are {', '.join(sorted(there))}",
                hint=" ".join(filter(None, [did_you_mean(column, there), f"map it in the recipe: columns.{meaning}"])),
            )


def vqa_example(
    row: Row, columns: VqaColumns, images: tuple[ImageSource, ...], stem: str, faults: Faults
) -> Example | None:
    """Return the example that a row holds, or None after noting in `faults` what it lacks."""
    cells, where = row.content, row.where
    question = text_of(cells.get(columns.question), "question", where, faults)
    answer = text_of(cells.get(columns.answer), "answer", where, faults)
    further = answers_of(cells.get(columns.answers), where, faults) if columns.answers else []
    name = text_of(cells.get(columns.id), "id", where, faults) if columns.id else str(row.number)
    if question is None or answer is None or name is None:
        return None
    example_id = f"{stem}:{name}"
    document = label_of(cells.get(columns.group)) if columns.group else ""
    return Example(
        id=example_id,
        group=group_of(images, document, question),
        images=images,
        turns=(Turn("user", question), Turn("assistant", answer, learned=True)),
        references=tuple(dict.fromkeys([answer, *further])),
        question_type=label_of(cells.get(columns.question_type)) if columns.question_type else "",
        answer_type=label_of(cells.get(columns.answer_type)) if columns.answer_type else "",
    )


def check_unique_ids(examples: Collection[Example], column: str | None, faults: Faults) -> None:
    """Note the ids that more than one example has."""
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            faults.add(
                f"the id in column `{column}` is not unique",
                example.id.partition(":")[2],
                hint="map another column to columns.id, or none: rows are then numbered",
            )
        seen.add(example.id)
