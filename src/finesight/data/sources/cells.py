"""What a cell of a row says: text, labels, lists of answers and of images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import json_name


def cell_of(content: Mapping[str, Any], column: str) -> Any:
    """Return a row's cell, or None where it has none. `types.detailed` is the entry `detailed` of the column `types`,
    unless a column has that very name.
    """
    if column in content:
        return content[column]
    outer, _, inner = column.partition(".")
    entries = content.get(outer)
    return entries.get(inner) if isinstance(entries, dict) else None


def column_names(content: Mapping[str, Any]) -> set[str]:
    """Return the names by which `cell_of` finds the cells of a row."""
    inner = {f"{name}.{entry}" for name, cell in content.items() if isinstance(cell, dict) for entry in cell}
    return {*content, *inner}


def text_of(value: Any, what: str, where: str, faults: Faults) -> str | None:
    """Return a cell's text without the blanks around it; numbers and truth values as JSON writes them.

    Nothing (null, NaN, blanks only) and what is no text are noted in `faults`, and give None.
    """
    if is_nothing(value):
        faults.add(f"no {what}", where, hint="fill these cells, or take the rows out of the file")
        return None
    return _plain_text(value, what, where, faults)


def optional_text_of(value: Any, what: str, where: str, faults: Faults) -> str:
    """Return a cell's text as `text_of` does, or "" where it holds nothing; what is no text is noted in `faults`."""
    return "" if is_nothing(value) else _plain_text(value, what, where, faults) or ""


def label_of(value: Any) -> str:
    """Return a cell as a label: text without the blanks around it, or "" where there is nothing."""
    if is_nothing(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def answers_of(value: Any, where: str, faults: Faults) -> list[str]:
    """Return further right answers: from a list of texts, or of objects with an `answer`, as VQA v2 has them."""
    if is_nothing(value):
        return []
    listed = value if isinstance(value, list) else [value]
    plain = [entry.get("answer") if isinstance(entry, dict) else entry for entry in listed]
    texts = [text_of(entry, "answer in the list of answers", where, faults) for entry in plain]
    return [text for text in texts if text is not None]


def list_in(cell: str) -> list[Any] | None:
    """Return the list that a table's cell holds as JSON, or None when it holds none."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        listed = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return listed if isinstance(listed, list) else None


def names_of(value: Any, where: str, faults: Faults) -> list[str]:
    """Return the names of a row's images: none, one, or a list of them."""
    if is_nothing(value):
        return []
    listed = value if isinstance(value, list) else [value]
    names = [text_of(entry, "image name", where, faults) for entry in listed]
    return [name for name in names if name is not None]


def is_nothing(value: Any) -> bool:
    """Return whether a cell is empty: null, blanks only, or NaN, which tables use for an empty cell."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def _plain_text(value: Any, what: str, where: str, faults: Faults) -> str | None:
    if isinstance(value, list | dict):
        faults.add(f"{what} is {json_name(value)}, not text", where)
        return None
    text = label_of(value)
    if not _is_unicode(text):
        faults.add(f"{what} is broken text (half a surrogate pair)", where)
        return None
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
