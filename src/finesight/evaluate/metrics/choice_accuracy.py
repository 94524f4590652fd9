"""The share of multiple-choice questions that are answered right: in one pass, and however the options are rotated."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from finesight.errors import DataError
from finesight.evaluate.metrics.choice_parse import normalise, parse_choice, right_choices
from finesight.evaluate.metrics.metric import Measured, Metric, measure_mean
from finesight.schema import Record

_READING = (
    "The option is read from the answer: its letter alone, or marked as one, or its own text; of look-alike Cyrillic "
    "and Latin letters either. An answer from which no single option can be read is not right, and counted as unparsed."
)
RULE = (
    f"{_READING} Each question counts once, as it was asked first; copies with rotated options do not count."
)  # fmt: skip
CIRCULAR_RULE = (
    f"{_READING} A question is right when it and every copy of it with rotated options are; copies do not count by "
    "themselves, nor do those whose question is not there."
)
_SOURCE = "https://arxiv.org/abs/2307.06281 (MMBench, CircularEval), without its reading of answers by another model"
_SHOWN = 3


def measure_once(records: Sequence[Record]) -> Measured:
    """Return for each question 1.0 when it is answered right, else 0.0; copies with rotated options have no score.

    Raises `DataError` for records without choices, and for references that are none of them.
    """
    right = _are_right(records)
    return measure_mean([
        nan if record.rotation_of else float(is_right) for record, is_right in zip(records, right, strict=True)
    ])  # fmt: skip


def measure_circular(records: Sequence[Record]) -> Measured:
    """Return for each question 1.0 when it and all its copies are answered right, else 0.0; copies have no score.

    A question without copies is scored by itself. Raises `DataError` as `measure_once` does.
    """
    right = _are_right(records)
    failed = {
        record.rotation_of or record.id for record, is_right in zip(records, right, strict=True) if not is_right
    }  # fmt: skip
    return measure_mean([nan if record.rotation_of else float(record.id not in failed) for record in records])


def can_read(record: Record) -> bool:
    """Return whether an option can be read from the prediction."""
    return parse_choice(record) is not None


def _are_right(records: Sequence[Record]) -> list[bool]:
    """Return whether each prediction chooses a right option. Raises `DataError` where nothing could be chosen."""
    _refuse(
        [record.id for record in records if not record.choices],
        f"of {len(records):,} records without choices",
        hint="score them with exact_match",
    )
    right = [right_choices(record) for record in records]
    _refuse(
        [record.id for record, places in zip(records, right, strict=True) if not places],
        f"of {len(records):,} records with references that are neither a letter nor the text of an option",
        hint="options are called A, B, C …; name them in `letters` where they are called something else",
    )
    return [parse_choice(record) in places for record, places in zip(records, right, strict=True)]


def _refuse(ids: Sequence[str], fault: str, *, hint: str) -> None:
    """Raise `DataError` when there are any such records."""
    if ids:
        shown = ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
        raise DataError(f"choice_accuracy: {len(ids):,} {fault} ({shown})", hint=hint)


METRICS = (
    Metric("choice_accuracy", RULE, _SOURCE, measure_once, normalise, can_read=can_read),
    Metric("choice_accuracy_circular", CIRCULAR_RULE, _SOURCE, measure_circular, normalise, can_read=can_read),
)
