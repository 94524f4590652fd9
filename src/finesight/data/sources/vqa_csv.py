"""Questions about images: a table as CSV or TSV, beside a folder of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from finesight.data.sources.cells import list_in
from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import Row
from finesight.data.sources.table_rows import read_table
from finesight.data.sources.vqa_rows import read_questions
from finesight.recipe.sources import VqaColumns, VqaCsv
from finesight.schema import Example


def read_vqa_csv(spec: VqaCsv, data_root: Path) -> list[Example]:
    """Return the questions of the table, in its order. Raises one `DataError` that names every fault.

    A cell of `answers` or of `image` may hold a list, as JSON writes it.
    """
    path = data_root / spec.file
    faults = Faults(str(path))
    rows = _with_lists(read_table(path, data_root, faults), spec.columns, faults)
    return read_questions(rows, spec, data_root, faults)


def _with_lists(rows: Iterable[Row], columns: VqaColumns, faults: Faults) -> Iterator[Row]:
    for row in rows:
        changed: dict[str, Any] = {}
        for column in (columns.image, columns.answers):
            cell = row.content.get(column, "") if column else ""
            listed = list_in(cell)
            if listed is not None:
                changed[str(column)] = listed
            elif column == columns.answers and cell.lstrip().startswith("["):
                # Python's own way of writing a list would otherwise count as one right answer, brackets and all.
                faults.add("answers are no list that JSON knows", row.where, hint='write it as ["cat", "kitten"]')
        yield replace(row, content=row.content | changed) if changed else row
