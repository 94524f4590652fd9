"""Looking through a folder of somebody's data: which files hold questions about images, and how to read them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from finesight.data.guess_columns import guess_columns, no_column
from finesight.data.sources.base64_image import is_base64
from finesight.data.sources.cells import list_in, names_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.image_folder import ImageFolder
from finesight.data.sources.json_rows import JSON_SUFFIXES, read_rows
from finesight.data.sources.parquet_files import PARQUET_SUFFIX
from finesight.data.sources.table_rows import TABLE_SUFFIXES, is_table, read_table
from finesight.errors import DataError

_SUFFIXES = (*JSON_SUFFIXES, *TABLE_SUFFIXES, PARQUET_SUFFIX)
_MOST_ENTRIES = 200_000
_MOST_DEPTH = 4
_MOST_FILES = 50
_MOST_BYTES = 500_000_000
_MOST_IMAGE_FOLDERS = 200
_TRIED_NAMES = 50

Kind = Literal["llava_json", "vqa_json", "vqa_csv", "vqa_parquet"]


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
    lacking: tuple[str, ...] = ()
    """What a person has to say: of image, question and answer, the one whose column could not be told."""
    there: tuple[str, ...] = ()
    """All columns of a file of questions."""
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

    Looks four folders deep, at most at the first 50 data files of up to 500 MB. Files of which one column cannot be
    told are returned only where no file is understood entirely. Raises `DataError` when there is no such folder, or
    nothing in it is understood.
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
    understood = [source for source in sources if not source.lacking]
    if understood:
        passed_over += [(source.file, no_column(source.lacking, source.there)) for source in sources if source.lacking]
        sources = understood
    if not sources:
        reasons = "".join(f"\n  {name}: {why}" for name, why in passed_over)
        raise DataError(
            f"{folder}: no data that is understood{reasons}",
            hint="JSON, JSON Lines, CSV, TSV or parquet with a question, an answer and an image in each row is",
        )
    return FolderFindings(folder, tuple(sources), tuple(passed_over))


def _look_through(folder: Path) -> tuple[list[Path], list[Path]]:
    data_files: list[Path] = []
    folders: list[Path] = []
    for place, names in islice(_walk(folder), _MOST_ENTRIES):
        folders.append(place)
        data_files += [place / name for name in names if name.lower().endswith(_SUFFIXES)]
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
    rows = _rows_of(file, folder)
    if any(isinstance(row.get("conversations"), list) for row in rows):
        return _with_images(
            SourceFinding("llava_json", _inside(file, folder), rows=len(rows)), rows, folder, image_folders
        )
    guess = guess_columns(rows)
    finding = SourceFinding(
        kind="vqa_csv" if is_table(file) else "vqa_json",
        file=_inside(file, folder),
        columns=guess.columns,
        lacking=guess.lacking,
        there=guess.there,
        rows=len(rows),
    )
    _check_named_images(file, rows, guess.columns.get("image", "image"))
    return _with_images(finding, rows, folder, image_folders)


def _rows_of(file: Path, folder: Path) -> list[dict[str, Any]]:
    faults = Faults(str(file))
    if is_table(file):
        rows = [
            {name: cell if (listed := list_in(cell)) is None else listed for name, cell in row.content.items()}
            for row in read_table(file, folder, faults)
        ]
    else:
        rows = [row.content for row in read_rows(file, folder, faults)]
    faults.raise_if_any()
    return rows


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
        guess = guess_columns(rows)
        columns = dict(guess.columns)
        _check_stored_images(file, rows, columns.get("image", "image"))
        if "id" in columns and not _is_unique(opened.read([columns["id"]]).column(0).to_pylist()):
            del columns["id"]
        return SourceFinding(
            kind="vqa_parquet",
            file=_inside(file, folder),
            columns=columns,
            lacking=guess.lacking,
            there=guess.there,
            rows=opened.metadata.num_rows,
        )


def _check_named_images(file: Path, rows: Sequence[dict[str, Any]], column: str) -> None:
    if any(isinstance(cell := row.get(column), str) and is_base64(cell.strip()) for row in rows[:_TRIED_NAMES]):
        raise DataError(
            f"{file}: column `{column}` holds images in base64, as kind: multiple_choice reads them with options"
        )


def _check_stored_images(file: Path, rows: Sequence[dict[str, Any]], column: str) -> None:
    if any(isinstance(row.get(column), str | int) for row in rows):
        raise DataError(
            f"{file}: column `{column}` only names images; where a table beside it has them, kind: vqa_parquet joins "
            "the two with image_table"
        )


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
