"""Questions with the images inside, or in a table beside them: parquet files, local or from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finesight.data.sources.cells import label_of, optional_text_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.image_table import read_image_table
from finesight.data.sources.json_rows import Row
from finesight.data.sources.names import id_prefix
from finesight.data.sources.parquet_files import TableName
from finesight.data.sources.parquet_table import (
    ROWS_A_BATCH,
    RowsWithImages,
    column_type,
    holds_images,
    open_table,
    rows_with_images,
    stored_names,
    with_columns,
)
from finesight.data.sources.vqa_rows import check_columns, check_unique_ids, mapped_columns, vqa_example
from finesight.recipe.sources import ImageTable, VqaParquet
from finesight.runtime import follow
from finesight.schema import Example

if TYPE_CHECKING:
    from datasets import Dataset


def read_vqa_parquet(spec: VqaParquet, data_root: Path) -> list[Example]:
    """Return the questions of the data set, in its order. Raises one `DataError` that names every fault.

    Raises `UserError` when the hub cannot be reached or does not know the data set, its configuration, its split or
    its revision.
    """
    name = id_prefix(spec)
    faults = Faults(spec.dataset)
    table = open_table(TableName(spec.dataset, spec.config, spec.split, spec.revision), data_root)
    check_columns(spec.columns, stored_names(table), faults)
    faults.raise_if_any()
    _check_image_column(table, spec, faults)
    faults.raise_if_any()

    stored = with_columns(table, mapped_columns(spec.columns).values())
    if spec.image_table is None:
        shown = rows_with_images(stored, spec.columns.image, name, faults)
    else:
        shown = _with_joined_images(stored, spec, spec.image_table, data_root, faults)
    examples = []
    for row, images in follow(shown, f"Reading {name}", stored.num_rows):
        example = vqa_example(row, spec.columns, images, name, faults)
        if example:
            examples.append(example)
    check_unique_ids(examples, spec.columns.id, faults)
    faults.raise_if_any()
    return examples


def _with_joined_images(
    table: Dataset, spec: VqaParquet, images: ImageTable, data_root: Path, faults: Faults
) -> RowsWithImages:
    column = spec.columns.image
    wanted = {label_of(name) for name in table.data.column(column).unique().to_pylist()}
    where_they_are = TableName(
        images.dataset or spec.dataset,
        images.config,
        images.split or spec.split,
        None if images.dataset else spec.revision,
    )
    pictures = read_image_table(images, where_they_are, wanted, id_prefix(spec), data_root, faults)
    number = 0
    for batch in table.iter(ROWS_A_BATCH):
        for content in batch.to_pylist():
            number += 1
            row = Row(number, f"row {number:,}", content)
            # A row without an image's name is a question without an image, as in every other kind of data.
            name = optional_text_of(content[column], "image name", row.where, faults)
            if name and name not in pictures:
                faults.add("image not in the image table", f"{row.where}: {name}")
            yield row, pictures.get(name, ())


def _check_image_column(table: Dataset, spec: VqaParquet, faults: Faults) -> None:
    column = spec.columns.image
    if column not in table.column_names:
        faults.add(f"column `{column}` lies inside another, where images are not looked for")
        return
    kind = column_type(table, column)
    if spec.image_table is None and not holds_images(kind):
        faults.add(
            f"column `{column}` holds {kind}, not stored images",
            hint="map the column with the image's bytes to columns.image; names of files are read with kind: vqa_json "
            "or vqa_csv, names that a table of images explains with image_table",
        )
    elif spec.image_table is not None and not _holds_names(table, column):
        faults.add(
            f"column `{column}` holds {kind}, not names that the image table could explain",
            hint="map the column with the image's name to columns.image, or leave image_table out",
        )


def _holds_names(table: Dataset, column: str) -> bool:
    from pyarrow import types

    kind = table.data.schema.field(column).type
    return any(is_kind(kind) for is_kind in (types.is_string, types.is_large_string, types.is_integer, types.is_null))
