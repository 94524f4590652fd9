"""Rows of a table with a line of column names: CSV, or TSV with tabs (RFC 4180, read strictly)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from finesight.data.sources.faults import Faults, missing_file
from finesight.data.sources.json_rows import JSON_SUFFIXES, Row, read_rows
from finesight.data.sources.parquet_files import PARQUET_SUFFIX
from finesight.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv")
_LARGEST_CELL = 2**31 - 1
_DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
_LENGTH_HINT = "put a cell that holds the delimiter in quotes"
_QUOTES_HINT = 'a cell that holds a quote is put in quotes, and the quote is written twice: "a ""b"" c"'
_NO_ROWS_HINT = "it should hold a line of column names, and a row a line"


def is_table(path: Path) -> bool:
    """Return whether a file is read as a table, by its name."""
    return path.suffix.lower() in TABLE_SUFFIXES


def holds_text(path: Path) -> bool:
    """Return whether rows lie in a table or in JSON, rather than in parquet or a hub's data set."""
    suffix = path.suffix.lower()
    return suffix in (*TABLE_SUFFIXES, *JSON_SUFFIXES, ".txt") or (path.is_file() and suffix != PARQUET_SUFFIX)


def delimiter_of(path: Path) -> str:
    """Return what divides the cells of a table: a tab in `.tsv`, else a comma."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def read_table_or_json(path: Path, data_root: Path, faults: Faults) -> Iterator[Row]:
    """Yield the rows of a file, which its name calls a table, or which else is JSON; one at a time."""
    return read_table(path, data_root, faults) if is_table(path) else read_rows(path, data_root, faults)


def read_table(path: Path, data_root: Path, faults: Faults) -> Iterator[Row]:
    """Yield the rows of a table, one at a time, every cell as its text; an empty cell is "".

    A tab divides the cells of a `.tsv` file, else a comma. A row is numbered by the line of the file on which it
    begins, counted from 1. A byte order mark, blank lines and rows of empty cells are read over. Rows with more or
    fewer cells than there are columns, and quotes that do not close, are noted in `faults`. Raises `DataError` when
    the file is missing, empty, or not UTF-8.
    """
    if not path.is_file():
        raise missing_file("file", path, data_root)
    delimiter = delimiter_of(path)
    table = _split(path, delimiter, faults)
    line, first = next(table, (0, []))
    if not first and not faults:
        raise DataError(f"{path}: the file is empty", hint=_NO_ROWS_HINT)
    columns = [name.strip() for name in first]
    _check_names(columns, line, delimiter, faults)
    if faults:
        # Under other names the rows would only repeat the fault.
        return
    count = 0
    for line, cells in table:
        count += 1
        if len(cells) == len(columns):
            yield Row(line, f"line {line:,}", dict(zip(columns, cells, strict=True)))
        else:
            _note_length(len(cells), len(columns), line, faults)
    if not count and not faults:
        raise DataError(f"{path}: the table holds no rows", hint=_NO_ROWS_HINT)


def _split(path: Path, delimiter: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that is not empty, with the line on which it begins."""
    # The limit is the process's own, and there to stop what a quote that never closes would gather. Here such a quote
    # is a fault anyway, and an image in base64 is far longer than the default.
    csv.field_size_limit(_LARGEST_CELL)
    with path.open("rb") as file:
        reader = csv.reader(_lines(file, path), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                faults.add("quotes that do not close, or stand inside a cell", f"line {line:,}", hint=_QUOTES_HINT)
                continue
            if any("\0" in cell for cell in cells):
                faults.add("a NUL byte, which text does not hold", f"line {line:,}")
            elif any(cell.strip() for cell in cells):
                yield line, cells


def _lines(file: io.BufferedReader, path: Path) -> Iterator[str]:
    """Yield the file's lines with their ends. Each is decoded alone, so that the one at fault can be named."""
    for number, stored in enumerate(file, start=1):
        try:
            text = stored.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: not UTF-8 text (line {number:,})",
                hint="save it as UTF-8; Excel calls that CSV UTF-8",
            ) from error
        # Old spreadsheets end a line with \r alone.
        yield from io.StringIO(text, newline="") if "\r" in text.removesuffix("\r\n") else (text,)


def _check_names(columns: Sequence[str], line: int, delimiter: str, faults: Faults) -> None:
    # Columns without a name are left alone: nothing can be mapped to them, and pandas writes its row numbers so.
    for name, count in Counter(name for name in columns if name).items():
        if count > 1:
            faults.add(f"{count} columns are called `{name}`", f"line {line:,}", hint="give each a name of its own")
    if len(columns) == 1:
        for other, words in _DELIMITERS.items():
            if other in columns[0] and other != delimiter:
                faults.add(
                    f"one column only, `{columns[0]}`, which looks like several with {words} between them",
                    hint="cells are divided by a comma, or in a file that ends in .tsv by a tab",
                )


def _note_length(cells: int, columns: int, line: int, faults: Faults) -> None:
    where = f"line {line:,}: {cells}"
    if cells < columns:
        faults.add(f"fewer cells than the {columns} columns", where)
    else:
        faults.add(f"more cells than the {columns} columns", where, hint=_LENGTH_HINT)
