"""A predictions file that a person brings: JSON Lines, each fault with its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from finesight.errors import DataError
from finesight.rundir import record_from_json
from finesight.schema import Record

_FORM = 'a line is {"id": "17", "prediction": "yes", "references": ["yes", "yeah"]}'
_SHOWN = 5


def read_predictions(path: Path) -> list[Record]:
    """Return the records of a predictions file.

    Raises `DataError` that counts the lines that cannot be read and names the first few.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start + 1} does not belong)") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="give a .jsonl file, or a run folder"
        ) from None
    records: list[Record] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(json.loads(line)))
        except json.JSONDecodeError as error:
            faults.append(f"{path}:{number}: not JSON: {error.msg}")
        except RecursionError:
            faults.append(f"{path}:{number}: too many brackets within brackets")
        except _Unfit as unfit:
            faults.append(f"{path}:{number}: {unfit}")
    if faults:
        more = [f"and {len(faults) - _SHOWN:,} more lines"] if len(faults) > _SHOWN else []
        raise DataError("\n".join(faults[:_SHOWN] + more), hint=_FORM)
    if not records:
        raise DataError(f"{path}: holds no predictions", hint=_FORM)
    return records


class _Unfit(Exception):
    """A line that is JSON, and no record."""


def _record(row: Any) -> Record:
    if not isinstance(row, dict):
        raise _Unfit("not a mapping")
    missing = [name for name in ("id", "prediction", "references") if name not in row]
    if missing:
        raise _Unfit(f"without {' and '.join(missing)}")
    for name, (fits, form) in _FORMS.items():
        if name in row and not fits(row[name]):
            raise _Unfit(f"{name} must be {form}")
    letters = row.get("letters", [])
    if letters and len(letters) != len(row.get("choices", [])):
        raise _Unfit("letters must be a list, one for each of the choices")
    return record_from_json(row)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(value: Any) -> bool:
    """Return whether a value can tell one thing from another, as an id or a group."""
    return _is_whole(value) or (_is_text(value) and value != "")


def _says_little(value: Any) -> bool:
    return value is None or _is_text(value) or _is_number(value)


def _is_list_of(fits: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, list) and all(map(fits, value))


def _are_tags(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_image_scores(scores: Any) -> bool:
    if not isinstance(scores, dict):
        return False
    told = {"clip": str, "weights": str, "answer": str}
    values = [value for name, value in scores.items() if name not in (*told, "is_cut")]
    return (
        all(isinstance(scores.get(name), kind) for name, kind in told.items())
        and isinstance(scores.get("is_cut", False), bool)
        and all(map(_is_number, values))
    )


_FORMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_names, "text or a whole number, and not empty"),
    "prediction": (_is_text, "text"),
    "references": (lambda value: _is_list_of(_is_text, value) and value != [], "a list of texts, at least one"),
    "choices": (lambda value: _is_list_of(lambda each: _is_text(each) or _is_number(each), value), "a list of texts"),
    "letters": (partial(_is_list_of, _is_text), "a list, one for each of the choices"),
    "tags": (_are_tags, "a mapping to texts"),
    "reference_log_likelihood": (lambda value: value is None or _is_number(value), "a number"),
    "reference_tokens": (lambda value: _is_whole(value) and value >= 0, "a whole number"),
    "image_scores": (_are_image_scores, "what `finesight score --images` writes"),
    **dict.fromkeys(
        ("group", "question", "rotation_of", "question_type", "answer_type", "image", "thumbnail", "finish_reason"),
        (_says_little, "text"),
    ),
}
"""What each field of a line may be, and how that is said."""
