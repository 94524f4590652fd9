"""Finding the parquet files of a table: one file, or those of a split in a folder as the hub lays it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from finesight.data.sources.faults import did_you_mean, missing_file
from finesight.errors import DataError

PARQUET_SUFFIX = ".parquet"
_LISTED_FILES = 5
_SPLITS = {"train", "validation", "val", "valid", "dev", "test", "testdev"}


@dataclass(frozen=True, slots=True)
class TableName:
    """What names a table: a file, a folder or a hub's data set, and which part of it."""

    dataset: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None


def local_files(name: TableName, data_root: Path) -> list[Path]:
    """Return the files of a table in alphabetical order, or none for what must be a hub's name.

    Raises `DataError` when a path leads nowhere, or a folder has no files of the configuration and the split.
    """
    path = data_root / name.dataset
    if path.is_file():
        if name.config is not None:
            raise DataError(
                f"{path}: a file, and `config: {name.config}` names a folder below it",
                hint="give the folder, or leave config out",
            )
        return [path]
    if path.is_dir():
        return _files_of_split(path, name.config, name.split)
    if name.dataset.endswith(PARQUET_SUFFIX) or Path(name.dataset).is_absolute() or name.dataset.count("/") > 1:
        raise missing_file("parquet file or folder", path, data_root)
    return []


def _files_of_split(folder: Path, config: str | None, split: str) -> list[Path]:
    """Return the files of a split. A folder cloned from the hub has its configurations and splits side by side."""
    files = sorted(folder.rglob(f"*{PARQUET_SUFFIX}"))
    if not files:
        raise DataError(f"{folder}: no parquet file in this folder")
    if config is not None:
        files = _files_of_config(folder, files, config)
    chosen = [file for file in files if split in (file.stem.split("-")[0], file.parent.name)]
    if chosen:
        return chosen
    if split != "train" or any(_known_splits(file.relative_to(folder)) - {split} for file in files):
        listed = ", ".join(file.relative_to(folder).as_posix() for file in files[:_LISTED_FILES])
        raise DataError(
            f"{folder}: no parquet file of this folder is named after the split `{split}`",
            hint=f"the files are {listed}{' …' if len(files) > _LISTED_FILES else ''}; name the right one in `split`",
        )
    # Files that are named after no split are a data set of one.
    return files


def _files_of_config(folder: Path, files: list[Path], config: str) -> list[Path]:
    chosen = [file for file in files if config in file.relative_to(folder).parts[:-1]]
    if not chosen:
        there = sorted({part for file in files for part in file.relative_to(folder).parts[:-1]})
        listed = f"the folders are {', '.join(there)}" if there else "it has no folders: leave config out"
        raise DataError(
            f"{folder}: no folder `{config}` with parquet files", hint=f"{did_you_mean(config, there)} {listed}".strip()
        )
    return chosen


def _known_splits(file: PurePath) -> set[str]:
    return _SPLITS & {*re.split(r"[^a-z]+", file.stem.lower()), file.parent.name.lower()}


def check_files(files: list[Path]) -> None:
    """Raise `DataError` unless all are parquet, with the same columns, and hold rows."""
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
                hint="give files of one data set, name its folder in `config`, or give each its own source",
            )
