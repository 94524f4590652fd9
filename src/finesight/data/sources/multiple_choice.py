"""Questions with options to choose from, as MMBench and PuzzleVQA have them; the answer is the right one's letter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from finesight.data.sources.base64_image import Base64Cells, Base64Image
from finesight.data.sources.cells import cell_of, column_names, label_of, list_in
from finesight.data.sources.choice_rows import choice_examples, given_in, mapped_choices, read_choice
from finesight.data.sources.faults import Faults
from finesight.data.sources.given_images import images_of
from finesight.data.sources.json_rows import Row
from finesight.data.sources.names import id_prefix
from finesight.data.sources.parquet_files import TableName
from finesight.data.sources.parquet_table import (
    column_type,
    holds_images,
    open_table,
    rows_with_images,
    stored_names,
    with_columns,
)
from finesight.data.sources.rotations import mark_rotations
from finesight.data.sources.table_rows import holds_text, read_table_or_json
from finesight.data.sources.vqa_rows import check_mapped, check_unique_ids
from finesight.recipe.sources import MultipleChoice
from finesight.runtime import follow
from finesight.schema import Example, ImageSource

Shown = Iterator[tuple[Row, tuple[ImageSource, ...]]]
"""Each row with the images that its question is about."""


def read_multiple_choice(spec: MultipleChoice, data_root: Path) -> list[Example]:
    """Return the questions of the file or data set, in its order. Raises one `DataError` that names every fault.

    An example's `choices` are the texts of its options, `letters` what they are called, and its answer is the letter of
    the right one. The letters are those of the options' places, so an option that is missing leaves a letter out.
    `read_source` puts the options into the question. Raises `UserError` when the hub cannot be reached.
    """
    path = data_root / spec.file
    if holds_text(path):
        faults = Faults(str(path))
        shown = _text_rows(spec, path, data_root, faults)
    else:
        faults = Faults(spec.file)
        shown = _parquet_rows(spec, data_root, faults)
    choices = [read_choice(row, spec.columns, images, faults) for row, images in shown]
    examples = choice_examples([choice for choice in choices if choice], id_prefix(spec), faults)
    check_unique_ids(examples, spec.columns.id, faults)
    if spec.circular_step and not faults:
        examples = mark_rotations(examples, id_prefix(spec), spec.circular_step, faults)
    faults.raise_if_any()
    return examples


def _text_rows(spec: MultipleChoice, path: Path, data_root: Path, faults: Faults) -> Shown:
    mapped = mapped_choices(spec.columns)
    image = spec.columns.image
    in_base64 = Base64Cells(path)
    seen: set[str] = set()
    kept: list[Row] = []
    for row in read_table_or_json(path, data_root, faults):
        seen.update(column_names(row.content))
        # Only what is mapped is kept, and of an image in base64 only the place.
        content = {column: cell_of(row.content, column) for _, column in mapped}
        shown = given_in(content[image])
        listed = list_in(shown) if isinstance(shown, str) else None
        content[image] = in_base64.find(shown if listed is None else listed, row.where, faults)
        kept.append(Row(row.number, row.where, content))
    if not {column for _, column in mapped} <= seen:
        if kept:
            check_mapped(mapped, seen, faults)
        faults.raise_if_any()
    rows = _with_images_by_id(kept, spec)
    yield from zip(rows, images_of(rows, image, data_root / spec.images, data_root, faults), strict=True)


def _with_images_by_id(rows: list[Row], spec: MultipleChoice) -> list[Row]:
    """Return the rows, those that name another row's id for an image now with that row's image.

    VLMEvalKit's tables of MMBench are written so, lest every copy of a question repeats the image.
    """
    image, name = spec.columns.image, spec.columns.id
    if name is None:
        return rows
    by_id = {
        label_of(row.content[name]): row.content[image] for row in rows if isinstance(row.content[image], Base64Image)
    }
    return [
        replace(row, content={**row.content, image: by_id.get(label_of(row.content[image]), row.content[image])})
        if isinstance(row.content[image], str)
        else row
        for row in rows
    ]


def _parquet_rows(spec: MultipleChoice, data_root: Path, faults: Faults) -> Shown:
    table = open_table(TableName(spec.file, spec.config, spec.split, spec.revision), data_root)
    mapped = mapped_choices(spec.columns)
    image = spec.columns.image
    check_mapped(mapped, stored_names(table), faults)
    faults.raise_if_any()
    if image not in table.column_names or not holds_images(column_type(table, image)):
        faults.add(
            f"column `{image}` holds no stored images",
            hint="map the column with the image's bytes to columns.image; names of files are read from JSON or a table",
        )
        faults.raise_if_any()
    stored = with_columns(table, (column for _, column in mapped))
    name = id_prefix(spec)
    yield from follow(rows_with_images(stored, image, name, faults), f"Reading {name}", stored.num_rows)
