"""Looking through a folder of somebody's data: which files hold questions about images, and how to read them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from finesight.data.guess_columns import guess_columns
from finesight.data.sources.cells import names_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.image_folder import ImageFolder
from finesight.data.sources.json_rows import read_rows
from finesight.errors import DataError

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
PARQUET_SUFFIX = ".parquet"
_MOST_ENTRIES = 200_000
_MOST_DEPTH = 4
_MOST_FILES = 50
_MOST_BYTES = 500_000_000
_MOST_IMAGE_FOLDERS = 200
_TRIED_NAMES = 50

Kind = Literal["llava_json", "vqa_json", "vqa_parquet"]


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One file that can be learned from or measured on."""

    kind: Kind
    file: str
    """Path from the folder that was looked through, as all paths here."""
    images: str = "."
    """The folder that its image names start from."""
    columns: dict[str, str] = field(default_factory=dict)
    """Which column holds what, where that is not the recipe's default."""
    rows: int = 0
    image_files: frozenset[Path] = frozenset()
    """The distinct image files that its rows name; parquet has its images inside."""
    rows_without_image_file: int = 0
    """Rows that name an image which was not found."""


@dataclass(frozen=True, slots=True)
class FolderFindings:
    """What a folder holds."""

    folder: Path
    sources: tuple[SourceFinding, ...]
    passed_over: tuple[tuple[str, str], ...]
    """Data files that are not understood, each with the reason."""


def describe_folder(folder: Path) -> FolderFindings:
    """Return what `folder` holds that can be learned from.

    Looks four folders deep, at most at the first 50 data files of up to 500 MB. Raises `DataError` when there is no
    such folder, or none of its files is understood.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", hint="give the folder that holds the data")
    data_files, image_folders = _look_through(folder)
    sources: list[SourceFinding] = []
    passed_over: list[tuple[str, str]] = []
    for file in data_files[:_MOST_FILES]:
        try:
            sources.append(_describe_file(file, folder, image_folders))
        except DataError as error:
            passed_over.append((_inside(file, folder), error.message.removeprefix(f"{file}:").strip()))
    if not sources:
        reasons = "".join(f"\n  {name}: {why}" for name, why in passed_over)
        raise DataError(
            f"{folder}: no data that is understood{reasons}",
            hint="JSON, JSON Lines or parquet with a question, an answer and an image in each row is",
        )
    return FolderFindings(folder, tuple(sources), tuple(passed_over))


def _look_through(folder: Path) -> tuple[list[Path], list[Path]]:
    data_files: list[Path] = []
    folders: list[Path] = []
    for place, names in islice(_walk(folder), _MOST_ENTRIES):
        folders.append(place)
        data_files += [place / name for name in names if name.lower().endswith((*JSON_SUFFIXES, PARQUET_SUFFIX))]
    return data_files, folders[:_MOST_IMAGE_FOLDERS]


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        # Hidden folders are tools' own; the order of the disk is not one to rely on.
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _MOST_DEPTH else []
        yield Path(place), sorted(names)


def _describe_file(file: Path, folder: Path, image_folders: Sequence[Path]) -> SourceFinding:
    if file.stat().st_size > _MOST_BYTES and file.suffix.lower() != PARQUET_SUFFIX:
        raise DataError(f"{file}: over {_MOST_BYTES // 1_000_000} MB, which is not looked through")
    if file.suffix.lower() == PARQUET_SUFFIX:
        return _describe_parquet(file, folder)
    faults = Faults(str(file))
    rows = [row.content for row in read_rows(file, folder, faults)]
    faults.raise_if_any()
    if any(isinstance(row.get("conversations"), list) for row in rows):
        return _with_images(
            SourceFinding("llava_json", _inside(file, folder), rows=len(rows)), rows, folder, image_folders
        )
    columns = guess_columns(rows)
    finding = SourceFinding("vqa_json", _inside(file, folder), columns=columns, rows=len(rows))
    return _with_images(finding, rows, folder, image_folders)


def _describe_parquet(file: Path, folder: Path) -> SourceFinding:
    import pyarrow
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a parquet file ({error})") from error
    with opened:
        sample = next(opened.iter_batches(_TRIED_NAMES), None)
        rows = [] if sample is None else sample.to_pylist()
        columns = guess_columns(rows)
        if "id" in columns and not _is_unique(opened.read([columns["id"]]).column(0).to_pylist()):
            del columns["id"]
        return SourceFinding("vqa_parquet", _inside(file, folder), columns=columns, rows=opened.metadata.num_rows)


def _is_unique(ids: Sequence[Any]) -> bool:
    return None not in ids and len({str(value) for value in ids}) == len(ids)


def _with_images(
    finding: SourceFinding, rows: Sequence[dict[str, Any]], folder: Path, image_folders: Sequence[Path]
) -> SourceFinding:
    column = finding.columns.get("image", "image")
    names = [names_of(row.get(column), "", Faults(finding.file)) for row in rows]
    sample = list(islice((name for row_names in names for name in row_names), _TRIED_NAMES))
    if not sample:
        return finding
    best = max(image_folders, key=lambda place: (_count_found(place, sample), -len(place.parts)))
    found = ImageFolder(best, folder)
    paths = [[found.find(name, "", Faults(finding.file)) for name in row_names] for row_names in names]
    return replace(
        finding,
        images=_inside(best, folder),
        image_files=frozenset(path for row_paths in paths for path in row_paths if path is not None),
        rows_without_image_file=sum(None in row_paths for row_paths in paths),
    )


def _count_found(place: Path, names: Sequence[str]) -> tuple[int, int]:
    # Names that are paths from the folder count before names that are only found in it.
    direct = sum((place / name.replace("\\", "/")).is_file() for name in names)
    if direct:
        return direct, direct
    searched = ImageFolder(place, place)
    return direct, sum(searched.find(name, "", Faults("")) is not None for name in names)


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
