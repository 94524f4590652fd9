"""Rows of a JSON list or of JSON Lines, whatever the file is called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight.data.sources.faults import Faults, missing_file
from finesight.errors import DataError

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
"""What files of rows in JSON are called; those that a recipe names are read whatever they are called."""
_BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    number: int
    """Counted from 1: the row of a list, the line of JSON Lines."""
    where: str
    """"row 3" or "line 3"."""
    content: dict[str, Any]


def read_rows(path: Path, data_root: Path, faults: Faults) -> Iterator[Row]:
    """Yield the rows of a JSON list or of JSON Lines, one at a time; a byte order mark is read over.

    Rows that are not objects and text that is not JSON are noted in `faults`. Raises `DataError` when the file is
    missing, empty, or not UTF-8.
    """
    text = read_text(path, data_root)
    start = _skip_blanks(text, 0)
    if start == len(text):
        raise DataError(f"{path}: the file is empty", hint="it should hold a list of rows, or a row a line")
    found = _list_rows(text, start, faults) if text[start] == "[" else _line_rows(text, faults)
    count = 0
    for number, where, value in found:
        count += 1
        if isinstance(value, dict):
            yield Row(number, where, value)
        else:
            faults.add(f"not an object but {json_name(value)}", where)
    if not count and not faults:
        raise DataError(f"{path}: the file holds no rows", hint="it should hold a list of rows, or a row a line")


def read_text(path: Path, data_root: Path) -> str:
    """Return a JSON file's text, without a byte order mark. Raises `DataError` when it is missing or not UTF-8."""
    if not path.is_file():
        raise missing_file("file", path, data_root)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text (byte {error.start:,})", hint="JSON is UTF-8; convert the file, or give another"
        ) from error


def json_name(value: object) -> str:
    """Return what JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def _list_rows(text: str, start: int, faults: Faults) -> Iterator[tuple[int, str, Any]]:
    # One row is decoded at a time: Python's objects take several times the memory of the text.
    decoder = json.JSONDecoder()
    place = _skip_blanks(text, start + 1)
    number = 0
    try:
        while text[place : place + 1] != "]":
            number += 1
            value, place = decoder.raw_decode(text, place)
            yield number, f"row {number:,}", value
            place = _skip_blanks(text, place)
            if text[place : place + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
            if text[place] == ",":
                place = _skip_blanks(text, place + 1)
        if _skip_blanks(text, place + 1) != len(text):
            raise json.JSONDecodeError("Something stands behind the list's end", text, _skip_blanks(text, place + 1))
    except json.JSONDecodeError as error:
        faults.add("bad JSON", f"line {error.lineno:,}, column {error.colno:,}: {error.msg}")
    except RecursionError:
        faults.add("bad JSON", f"row {number:,}: nested too deeply")
    except ValueError:
        # Python reads no whole numbers of more than some thousand digits.
        faults.add("bad JSON", f"row {number:,}: a number of too many digits")


def _line_rows(text: str, faults: Faults) -> Iterator[tuple[int, str, Any]]:
    if _is_one_object(text):
        faults.add(
            "one object over several lines, not a list of rows",
            hint="give the list inside it a file of its own, as [{…}, {…}]",
        )
        return
    # Only \n ends a line: str.splitlines() would also cut at U+2028 and others that JSON allows inside text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip(_BLANK):
            continue
        try:
            yield number, f"line {number:,}", json.loads(line)
        except json.JSONDecodeError as error:
            faults.add("bad JSON", f"line {number:,}, column {error.colno:,}: {error.msg}")
        except RecursionError:
            faults.add("bad JSON", f"line {number:,}: nested too deeply")
        except ValueError:
            faults.add("bad JSON", f"line {number:,}: a number of too many digits")


def _is_one_object(text: str) -> bool:
    first_line = text.strip(_BLANK).split("\n", 1)[0]
    return not _is_json(first_line) and _is_json(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _skip_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANK:
        place += 1
    return place
