"""The files of stand-ins: tables of rows, in the form that a file's name says, and folders of pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finesight.data.sources.table_rows import delimiter_of, is_table
from finesight.data.standins.pictures import draw_picture, picture_name


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns: as a table for `.csv` and `.tsv`, else as JSON."""
    if is_table(file):
        write_table(file, rows)
    else:
        write_json(file, rows)


def write_json(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines for `.jsonl` and `.ndjson`, else as a JSON list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    as_lines = file.suffix in (".jsonl", ".ndjson")
    text = "".join(f"{json.dumps(row)}\n" for row in rows) if as_lines else json.dumps(rows, indent=1)
    file.write_text(text, encoding="utf-8")


def write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns as a table: a list as JSON, and nothing as an empty cell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter_of(file))
        table.writeheader()
        for row in rows:
            cells = {name: json.dumps(cell) if isinstance(cell, list) else cell for name, cell in row.items()}
            table.writerow(cells)


def write_pictures(folder: Path, numbers: Sequence[int]) -> None:
    """Write the pictures of these numbers as PNG files, each under its own name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / picture_name(number)).write_bytes(draw_picture(number))
