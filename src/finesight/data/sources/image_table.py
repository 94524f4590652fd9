"""A table of images that the rows of another table point into, as GQA is published (Hudson & Manning 2019)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finesight.data.images import TableImage
from finesight.data.sources.cells import label_of
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.parquet_files import TableName
from finesight.data.sources.parquet_table import (
    ROWS_A_BATCH,
    column_type,
    holds_images,
    image_hashes,
    open_table,
)
from finesight.recipe.sources import ImageTable
from finesight.runtime import follow

if TYPE_CHECKING:
    from datasets import Dataset

Pictures = dict[str, tuple[TableImage, ...]]
"""The images of each id: one, or several where the table holds lists of them."""


def read_image_table(
    spec: ImageTable, name: TableName, wanted: Collection[str], stem: str, data_root: Path, faults: Faults
) -> Pictures:
    """Return the images whose ids are `wanted`; they stay in the table, and are hashed where they lie.

    Ids that two images have, and rows without an image, are noted in `faults`. Raises `DataError` when the table
    lacks a column, or what `open_table` raises. `stem` begins the images' names.
    """
    table = open_table(name, data_root)
    _check_columns(spec, table.column_names, faults)
    faults.raise_if_any()
    kind = column_type(table, spec.image)
    if not holds_images(kind):
        hint = "map the column with the image's bytes to image_table.image"
        faults.add(f"image table: column `{spec.image}` holds {kind}, not stored images", hint=hint)
    faults.raise_if_any()

    stored = table.select_columns(list(dict.fromkeys([spec.id, spec.image]))).with_format("arrow")
    pictures: Pictures = {}
    first_rows: dict[str, int] = {}
    for number, image_id, cell in follow(_rows(stored, spec), f"Reading the images of {stem}", stored.num_rows):
        where = f"image table row {number:,}{image_id and ': '}{image_id}"
        if not image_id:
            faults.add("no id", where)
        elif image_id in first_rows:
            faults.add("two images of one id", f"{where}, as row {first_rows[image_id]:,}")
        elif image_id in wanted:
            if not cell.is_valid:
                faults.add("the image's bytes are not stored", where)
            pictures[image_id] = tuple(
                TableImage(stored, spec.image, number - 1, f"{stem} image {image_id}", content_hash, position)
                for position, content_hash in enumerate(image_hashes(cell, where, faults))
            )
        first_rows.setdefault(image_id, number)
    return pictures


def _rows(table: Dataset, spec: ImageTable) -> Iterator[tuple[int, str, Any]]:
    """Yield number, id and image of each row, the image as an Arrow scalar."""
    number = 0
    for batch in table.iter(ROWS_A_BATCH):
        for image_id, cell in zip(batch.column(spec.id).to_pylist(), batch.column(spec.image), strict=True):
            number += 1
            yield number, label_of(image_id), cell


def _check_columns(spec: ImageTable, there: Collection[str], faults: Faults) -> None:
    for field, column in (("id", spec.id), ("image", spec.image)):
        if column not in there:
            faults.add(
                f"image table: no column `{column}`; the columns are {', '.join(sorted(there))}",
                hint=" ".join(filter(None, [did_you_mean(column, there), f"map it: image_table.{field}"])),
            )
