"""Tables with images inside: parquet files, local or from the hub, memory-mapped and never held in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finesight.cache import cache_folder
from finesight.data.images import TableImage, hash_bytes
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.json_rows import Row
from finesight.data.sources.parquet_files import TableName, check_files, local_files
from finesight.errors import DataError, UserError
from finesight.runtime import is_terminal

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import DataType

ROWS_A_BATCH = 100

RowsWithImages = Iterator[tuple[Row, tuple[TableImage, ...]]]
"""Each row with its images."""


def open_table(name: TableName, data_root: Path) -> Dataset:
    """Return the table, memory-mapped, its files in alphabetical order.

    Raises `DataError` when files are missing, damaged or not of one data set, and `UserError` when the hub cannot be
    reached or does not know the data set, its configuration, its split or its revision.
    """
    import datasets
    import pyarrow

    if not is_terminal():
        datasets.disable_progress_bars()
    files = local_files(name, data_root)
    if not files:
        return _load_from_hub(name, data_root)
    check_files(files)
    try:
        table = datasets.Dataset.from_parquet(
            [str(file) for file in files], cache_dir=str(cache_folder("datasets")), keep_in_memory=False
        )
    except datasets.exceptions.DatasetGenerationError as error:
        raise DataError(f"{name.dataset}: the parquet file is damaged ({error.__cause__ or error})") from error
    # Unpacking reads ahead; Arrow would keep those hundreds of megabytes for later use.
    pyarrow.default_memory_pool().release_unused()
    return table


def column_type(table: Dataset, column: str) -> DataType:
    """Return the Arrow type of a column, or of its entries where it holds lists."""
    from pyarrow import types

    kind = table.data.schema.field(column).type
    return kind.value_type if types.is_list(kind) or types.is_large_list(kind) else kind


def holds_images(kind: DataType) -> bool:
    """Return whether cells of an Arrow type hold an image's bytes, plain or beside its path."""
    from pyarrow import types

    stored = kind.field("bytes").type if types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    return bool(types.is_binary(stored) or types.is_large_binary(stored))


def stored_names(table: Dataset) -> set[str]:
    """Return the names by which `cell_of` finds the cells of a row."""
    from pyarrow import types

    fields = list(table.data.schema)
    inner = {f"{field.name}.{entry.name}" for field in fields if types.is_struct(field.type) for entry in field.type}
    return {*table.column_names, *inner}


def with_columns(table: Dataset, columns: Iterable[str]) -> Dataset:
    """Return the table in Arrow format, with only these columns, or those that these lie in."""
    return table.select_columns(sorted({_stored_column(column, table) for column in columns})).with_format("arrow")


def rows_with_images(table: Dataset, column: str, name: str, faults: Faults) -> RowsWithImages:
    """Yield each row of a table in Arrow format, without the cell of `column`, and the images that lie in it."""
    number = 0
    for batch in table.iter(ROWS_A_BATCH):
        cells = batch.column(column)
        plain = batch.drop_columns([column]).to_pylist() if batch.num_columns > 1 else [{}] * len(batch)
        for cell, content in zip(cells, plain, strict=True):
            number += 1
            where = f"row {number:,}"
            yield (
                Row(number, where, content),
                tuple(
                    TableImage(table, column, number - 1, f"{name} {where}", content_hash, position)
                    for position, content_hash in enumerate(image_hashes(cell, where, faults))
                ),
            )


def image_hashes(cell: Any, where: str, faults: Faults) -> list[str]:
    """Return the content hashes of the images of a cell, an Arrow scalar: none, one, or those of a list.

    Images whose bytes are not stored are noted in `faults`.
    """
    import pyarrow

    if not cell.is_valid:
        return []
    listed = list(cell.values) if isinstance(cell, pyarrow.ListScalar) else [cell]
    stored = [_bytes_of(image) for image in listed]
    if any(not image.is_valid for image in stored):
        faults.add("the image's bytes are not stored", where, hint="rows that only name a file are read as vqa_json")
        return []
    # Arrow's own buffers: the bytes are hashed where they lie, without a copy.
    return [hash_bytes(memoryview(image.as_buffer())) for image in stored]


def _bytes_of(image: Any) -> Any:
    import pyarrow

    return image["bytes"] if isinstance(image, pyarrow.StructScalar) and image.is_valid else image


def _stored_column(column: str, table: Dataset) -> str:
    return column if column in table.column_names else column.partition(".")[0]


def _load_from_hub(name: TableName, data_root: Path) -> Dataset:
    import datasets

    near = did_you_mean(name.dataset, [path.name for path in data_root.iterdir()]) if data_root.is_dir() else ""
    try:
        return datasets.load_dataset(
            name.dataset,
            name.config,
            split=name.split,
            revision=name.revision,
            cache_dir=str(cache_folder("datasets")),
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name.dataset}: cannot be loaded from the hub ({error})",
            hint=f"{near} it is not in the data root, {data_root.absolute()}; check the name, its configuration, split "
            "and revision, and the connection, or download it there".strip(),
        ) from error
