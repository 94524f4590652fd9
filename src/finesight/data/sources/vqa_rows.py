"""What rows of questions have in common, whether they come from JSON, from a table or from parquet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from finesight.data.groups import group_of
from finesight.data.sources.cells import answers_of, cell_of, column_names, optional_text_of, text_of
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.given_images import images_of
from finesight.data.sources.json_rows import Row
from finesight.data.sources.names import id_prefix
from finesight.recipe.sources import PythonSource, VqaColumns, VqaCsv, VqaJson
from finesight.schema import Example, ImageSource, Turn


def read_questions(
    rows: Iterable[Row], spec: VqaJson | VqaCsv | PythonSource, data_root: Path, faults: Faults
) -> list[Example]:
    """Return the questions that `rows` hold, in their order, with the images that they name in a folder.

    Raises one `DataError` that names every fault, those noted before included; `DataError` too when there are rows
    with images and the folder is missing.
    """
    wanted = set(mapped_columns(spec.columns).values())
    seen: set[str] = set()
    kept: list[Row] = []
    for row in rows:
        seen.update(column_names(row.content))
        # Only what is mapped is kept: rows often carry far more, and there may be 100,000.
        kept.append(Row(row.number, row.where, {name: cell_of(row.content, name) for name in wanted}))
    if not wanted <= seen:
        if kept:
            check_columns(spec.columns, seen, faults)
        faults.raise_if_any()

    images = images_of(kept, spec.columns.image, data_root / spec.images, data_root, faults)
    examples = []
    for row, shown in zip(kept, images, strict=True):
        example = vqa_example(row, spec.columns, shown, id_prefix(spec), faults)
        if example:
            examples.append(example)
    check_unique_ids(examples, spec.columns.id, faults)
    faults.raise_if_any()
    return examples


def mapped_columns(columns: VqaColumns) -> dict[str, str]:
    """Return, for each meaning that the recipe maps, the column that holds it."""
    return {meaning: column for meaning, column in columns if column is not None}


def check_columns(columns: VqaColumns, there: Collection[str], faults: Faults) -> None:
    """Note each mapped column that the data does not have, with those that it has."""
    check_mapped(mapped_columns(columns).items(), there, faults)


def check_mapped(mapped: Iterable[tuple[str, str]], there: Collection[str], faults: Faults) -> None:
    """Note each column of `mapped`, pairs of a meaning and a column, that the data does not have."""
    outer = [name for name in sorted(there) if "." not in name or name.partition(".")[0] not in there]
    for meaning, column in mapped:
        if column not in there:
            faults.add(
                f"no column `{column}` for the {meaning.replace('_', ' ')}; the columns are {', '.join(outer)}",
                hint=" ".join(filter(None, [did_you_mean(column, there), f"map it in the recipe: columns.{meaning}"])),
            )


def vqa_example(
    row: Row, columns: VqaColumns, images: tuple[ImageSource, ...], stem: str, faults: Faults
) -> Example | None:
    """Return the example that a row holds, or None after noting in `faults` what it lacks."""

    def required(column: str, what: str) -> str | None:
        return text_of(cell_of(row.content, column), what, row.where, faults)

    def optional(column: str | None, what: str) -> str:
        return optional_text_of(cell_of(row.content, column), what, row.where, faults) if column else ""

    question, answer = required(columns.question, "question"), required(columns.answer, "answer")
    further = answers_of(cell_of(row.content, columns.answers), row.where, faults) if columns.answers else []
    name = required(columns.id, "id") if columns.id else str(row.number)
    document = optional(columns.group, "group")
    question_type = optional(columns.question_type, "question type")
    answer_type = optional(columns.answer_type, "answer type")
    if question is None or answer is None or name is None:
        return None
    return Example(
        id=f"{stem}:{name}",
        group=group_of(images, document, question),
        images=images,
        turns=(Turn("user", question), Turn("assistant", answer, learned=True)),
        references=tuple(dict.fromkeys([answer, *further])),
        question_type=question_type,
        answer_type=answer_type,
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
