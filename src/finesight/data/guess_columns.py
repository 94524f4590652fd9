"""Guessing which column holds what, from the columns' names and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finesight.data.sources.cells import is_nothing
from finesight.data.sources.image_folder import IMAGE_SUFFIXES
from finesight.errors import DataError
from finesight.recipe.sources import VqaColumns

_REQUIRED = ("image", "question", "answer")
_SAMPLE_ROWS = 200

# Written without blanks, dashes and capitals, the likeliest first.
_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("qid", "questionid", "id", "qaid", "uid", "index", "exampleid", "sampleid"),
    "image": ("image", "imagename", "imagepath", "imagefile", "img", "imgname", "imgpath", "filename", "file",
              "picture", "photo", "imageid"),
    "question": ("question", "query", "instruction", "prompt", "text", "q", "input", "вопрос"),
    "answer": ("answer", "multiplechoiceanswer", "groundtruth", "gold", "goldanswer", "correctanswer",
               "label", "response", "output", "target", "solution", "gt", "a", "caption", "ответ", "correct"),
    "answers": ("answers", "allanswers", "references"),
    "question_type": ("questiontype", "qtype", "type", "category", "questioncategory", "contenttype"),
    "answer_type": ("answertype", "atype"),
    "group": ("patientid", "patient", "subjectid", "documentid", "docid", "studyid", "groupid", "group"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """Which column holds what, as far as it can be told."""

    columns: dict[str, str]
    """For those that are not called as the recipe expects them by default."""
    lacking: tuple[str, ...]
    """What no column could be found for, of image, question and answer: at most one."""
    there: tuple[str, ...]
    """All columns."""


def guess_columns(rows: Sequence[Mapping[str, Any]]) -> ColumnGuess:
    """Return which column holds what.

    Raises `DataError` when two of image, question and answer are not to be found: then it is other data.
    """
    sample = rows[:_SAMPLE_ROWS]
    # A column without a name, as of pandas' row numbers, cannot be mapped.
    there = [name for name in dict.fromkeys(name for row in sample for name in row) if name]
    guessed: dict[str, str] = {}
    for meaning in _NAMES:
        column = _by_name(meaning, there, rows) or _by_content(meaning, there, sample)
        if column is not None and column not in guessed.values():
            guessed[meaning] = column
    if all(meaning in guessed for meaning in _REQUIRED if meaning != "answer"):
        left = [name for name in there if name not in guessed.values() and _fits("answer", name, rows)]
        if "answer" not in guessed and len(left) == 1:
            guessed["answer"] = left[0]
    lacking = tuple(meaning for meaning in _REQUIRED if meaning not in guessed)
    if len(lacking) > 1:
        raise DataError(no_column(lacking, there))
    expected = {meaning: column for meaning, column in VqaColumns() if column is not None}
    columns = {
        meaning: guessed[meaning]
        for meaning in _NAMES
        if guessed.get(meaning, expected.get(meaning)) != expected.get(meaning)
    }
    return ColumnGuess(columns, lacking, tuple(there))


def no_column(lacking: Sequence[str], there: Sequence[str]) -> str:
    """Return in words what no column could be found for."""
    return f"no column for the {' or the '.join(lacking)} (the columns are {', '.join(there) or 'none'})"


def _by_name(meaning: str, there: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in reversed(there)}
    for wanted in _NAMES[meaning]:
        name = plain.get(wanted)
        if name is not None and _fits(meaning, name, rows):
            return name
    return None


def _fits(meaning: str, name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(name) for row in rows]
    present = [value for value in values if not is_nothing(value)]
    match meaning:
        case "id":
            # As text: the ids of examples are, and a number and its text would collide.
            return len(present) == len(values) == len({str(value) for value in present})
        case "image":
            return any(isinstance(value, str | bytes | dict | list | int) for value in present)
        case "answers":
            return any(isinstance(value, list) for value in present)
        case _:
            return bool(present) and not any(isinstance(value, list | dict | bytes) for value in present)


def _by_content(meaning: str, there: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> str | None:
    match meaning:
        case "image":
            return next((name for name in there if _mostly(name, sample, _is_image)), None)
        case "question":
            return next((name for name in there if _mostly(name, sample, _asks)), None)
        case _:
            return None


def _mostly(name: str, sample: Sequence[Mapping[str, Any]], holds: Callable[[object], bool]) -> bool:
    return 2 * sum(holds(row.get(name)) for row in sample) > len(sample)


def _is_image(value: object) -> bool:
    match value:
        case str():
            return value.strip().lower().endswith(IMAGE_SUFFIXES)
        case {"bytes": bytes()} | bytes():
            return True
        case _:
            return False


def _asks(value: object) -> bool:
    return isinstance(value, str) and value.strip().endswith(("?", "？", "؟"))
