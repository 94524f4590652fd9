"""What a cell of a row says: text, labels, lists of answers and of images."""

from __future__ import annotations

import math
from typing import Any

from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import json_name


def text_of(value: Any, what: str, where: str, faults: Faults) -> str | None:
    """Return a cell's text without the blanks around it; numbers and truth values as JSON writes them.

    Nothing (null, NaN, blanks only) and what is no text are noted in `faults`, and give None.
    """
    if is_nothing(value):
        faults.add(f"no {what}", where, hint="fill these cells, or take the rows out of the file")
        return None
    if isinstance(value, list | dict):
        faults.add(f"{what} is {json_name(value)}, not text", where)
        return None
    text = label_of(value)
    if not _is_unicode(text):
        faults.add(f"{what} is broken text (half a surrogate pair)", where)
        return None
    return text


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


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
