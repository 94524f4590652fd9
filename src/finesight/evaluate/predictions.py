"""A predictions file that a person brings: JSON Lines, each fault with its line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from finesight.errors import DataError, command_line, nearest_name
from finesight.numerals import plural
from finesight.rundir import RunDir, record_from_json
from finesight.runtime import say
from finesight.schema import Record

_FORM = 'a line is {"id": "17", "prediction": "yes", "references": ["yes", "yeah"]}'
_SHOWN = 5


def read_predictions(path: Path) -> list[Record]:
    """Return the records of a predictions file.

    Fields that are none of a line's, and look like one, are named in the log. Raises `DataError` that counts the lines
    that cannot be read and names the first few.
    """
    lines = _text_of(path).split("\n")
    records: list[Record] = []
    faults: list[str] = []
    strange: Counter[str] = Counter()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            records.append(_record(row))
            strange.update(name for name in row if name not in _FORMS and _misspelt(name) not in row)
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
    for name, count in strange.items():
        if meant := _misspelt(name):
            say(f"warning: {path}: {plural(count, 'line')} with {name!r}, which is not read; did you mean {meant!r}?")
    return records


def _text_of(path: Path) -> str:
    """Return what a file holds. Raises `DataError` for a folder, and for what is no text or cannot be read."""
    if path.is_dir():
        raise DataError(f"{path}: a folder, and not a predictions file", hint=_in_folder(path))
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start + 1} does not belong)") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint="give a predictions file (.jsonl)") from None


def _in_folder(path: Path) -> str:
    """Return what to give instead of a folder."""
    if not RunDir.is_at(path):
        return "give a predictions file (.jsonl)"
    files = sorted(path.glob("evaluation/*/*.jsonl"), key=lambda file: (file.parent.name != "after", file))
    told = (
        f"score the answers to one task, as {command_line('score', files[0])}" if files else "it holds no answers yet"
    )
    if RunDir.existing(path).is_evaluation:
        return told
    return f"{told}; all of a run's anew: {command_line('rescore', path)}"


@cache
def _misspelt(name: str) -> str | None:
    """Return the field of a line that a strange one probably is: nearly as long, and nearly the same letters."""
    near = nearest_name(name, _FORMS)
    return near if near is not None and abs(len(near) - len(name)) <= 1 else None


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
