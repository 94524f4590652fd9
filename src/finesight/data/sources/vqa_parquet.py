"""Questions with the images inside: parquet files, local or from the hub, memory-mapped and never held in Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finesight.cache import cache_folder
from finesight.data.images import TableImage, hash_bytes
from finesight.data.sources.faults import Faults, did_you_mean, missing_file
from finesight.data.sources.json_rows import Row
from finesight.data.sources.vqa_rows import check_columns, check_unique_ids, mapped_columns, vqa_example
from finesight.errors import DataError, UserError
from finesight.recipe.data import VqaParquet
from finesight.runtime import follow, is_terminal
from finesight.schema import Example

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS_A_BATCH = 100
_SUFFIX = ".parquet"


def read_vqa_parquet(spec: VqaParquet, data_root: Path) -> list[Example]:
    """Return the questions of the data set, in its order. Raises one `DataError` that names every fault.

    Raises `UserError` when the hub cannot be reached or does not know the data set, its split or its revision.
    """
    name = dataset_name(spec.dataset)
    faults = Faults(spec.dataset)
    table = _open_table(spec, data_root)
    check_columns(spec.columns, table.column_names, faults)
    faults.raise_if_any()
    _check_image_type(table, spec, faults)
    faults.raise_if_any()

    wanted = table.select_columns(list(dict.fromkeys(mapped_columns(spec.columns).values()))).with_format("arrow")
    examples = []
    for row, hashes in follow(_rows(wanted, spec.columns.image, faults), f"Reading {name}", wanted.num_rows):
        images = tuple(
            TableImage(wanted, spec.columns.image, row.number - 1, f"{name} {row.where}", content_hash, position)
            for position, content_hash in enumerate(hashes)
        )
        example = vqa_example(row, spec.columns, images, name, faults)
        if example:
            examples.append(example)
    check_unique_ids(examples, spec.columns.id, faults)
    faults.raise_if_any()
    return examples


def dataset_name(dataset: str) -> str:
    """Return a data set's short name: `vqav2-small` for `merve/vqav2-small`, `a` for `files/a.parquet`."""
    return dataset.rstrip("/").rsplit("/", 1)[-1].removesuffix(_SUFFIX)


def _rows(table: Dataset, image_column: str, faults: Faults) -> Iterator[tuple[Row, list[str]]]:
    number = 0
    for batch in table.iter(_ROWS_A_BATCH):
        cells = batch.column(image_column)
        plain = batch.drop_columns([image_column]).to_pylist() if batch.num_columns > 1 else [{}] * len(batch)
        for place, content in enumerate(plain):
            number += 1
            where = f"row {number:,}"
            yield Row(number, where, content), _image_hashes(cells[place], where, faults)


def _image_hashes(cell: Any, where: str, faults: Faults) -> list[str]:
    # Arrow's own scalars and buffers: the bytes are hashed where they lie, without a copy.
    import pyarrow

    if not cell.is_valid:
        return []
    listed = list(cell.values) if isinstance(cell, pyarrow.ListScalar) else [cell]
    stored = [image["bytes"] if isinstance(image, pyarrow.StructScalar) else image for image in listed]
    if any(not image.is_valid for image in stored):
        faults.add("the image's bytes are not stored", where, hint="rows that only name a file are read as vqa_json")
        return []
    return [hash_bytes(memoryview(image.as_buffer())) for image in stored]


def _check_image_type(table: Dataset, spec: VqaParquet, faults: Faults) -> None:
    from pyarrow import types

    kind = table.data.schema.field(spec.columns.image).type
    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    bytes_kind = kind.field("bytes").type if types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    if not (types.is_binary(bytes_kind) or types.is_large_binary(bytes_kind)):
        faults.add(
            f"column `{spec.columns.image}` holds {kind}, not stored images",
            hint="map the column with the image's bytes to columns.image; file names are read with kind: vqa_json",
        )


def _open_table(spec: VqaParquet, data_root: Path) -> Dataset:
    import datasets
    import pyarrow

    if not is_terminal():
        datasets.disable_progress_bars()
    files = _local_files(spec, data_root)
    if not files:
        return _load_from_hub(spec, data_root)
    _check_files(files)
    try:
        table = datasets.Dataset.from_parquet(
            [str(file) for file in files], cache_dir=str(cache_folder("datasets")), keep_in_memory=False
        )
    except datasets.exceptions.DatasetGenerationError as error:
        raise DataError(f"{spec.dataset}: the parquet file is damaged ({error.__cause__ or error})") from error
    # Unpacking reads ahead; Arrow would keep those hundreds of megabytes for later use.
    pyarrow.default_memory_pool().release_unused()
    return table


def _local_files(spec: VqaParquet, data_root: Path) -> list[Path]:
    path = data_root / spec.dataset
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_of_split(path, spec.split)
    if spec.dataset.endswith(_SUFFIX) or Path(spec.dataset).is_absolute() or spec.dataset.count("/") > 1:
        raise missing_file("parquet file or folder", path, data_root)
    return []


def _files_of_split(folder: Path, split: str) -> list[Path]:
    files = sorted(folder.rglob(f"*{_SUFFIX}"))
    if not files:
        raise DataError(f"{folder}: no parquet file in this folder")
    # A folder cloned from the hub has its splits side by side, as train-00000-of-00002.parquet.
    named_after_it = [file for file in files if file.stem.split("-")[0] == split or file.parent.name == split]
    if not named_after_it and split != "train":
        raise DataError(
            f"{folder}: no parquet file of this folder is named after the split `{split}`",
            hint=f"the files are {', '.join(file.name for file in files[:5])}",
        )
    return named_after_it or files


def _check_files(files: list[Path]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[Path, set[str]] = {}
    rows = 0
    for file in files:
        try:
            metadata = parquet.read_metadata(file)
            columns[file] = set(metadata.schema.to_arrow_schema().names)
            rows += metadata.num_rows
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{file}: not a parquet file ({error})") from error
    if not rows:
        raise DataError(f"{files[0]}: the data set holds no rows")
    first = files[0]
    for file, names in columns.items():
        if names != columns[first]:
            different = ", ".join(sorted(names ^ columns[first]))
            raise DataError(
                f"{file}: its columns differ from those of {first.name} ({different})",
                hint="give files of one data set, or each its own source",
            )


def _load_from_hub(spec: VqaParquet, data_root: Path) -> Dataset:
    import datasets

    near = did_you_mean(spec.dataset, [path.name for path in data_root.iterdir()]) if data_root.is_dir() else ""
    try:
        return datasets.load_dataset(
            spec.dataset, split=spec.split, revision=spec.revision, cache_dir=str(cache_folder("datasets"))
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{spec.dataset}: cannot be loaded from the hub ({error})",
            hint=f"{near} it is not in the data root, {data_root.absolute()}; check the name, its split and revision, "
            "and the connection, or download it there".strip(),
        ) from error
