"""Records become scores: how high, how sure, and on each kind of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from finesight.errors import UserError
from finesight.evaluate.metrics.metric import Measured, Metric
from finesight.evaluate.stats import Difference, estimate, paired_difference
from finesight.schema import Record

Kind = Literal["answer_type", "question_type"]
KINDS: tuple[Kind, ...] = ("answer_type", "question_type")
"""What data may tell of each example, and scores are then given for."""
_ROUNDING = 1e-9
NOT_GIVEN = "not given"
"""The kind of a question whose kind the data do not tell, where they tell that of others."""


@dataclass(frozen=True)
class Scored:
    """Records, and what a metric says of them, in one order."""

    records: tuple[Record, ...]
    metric: Metric
    measured: Measured

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each record; a record without one is a group of its own."""
        return tuple(record.group or f"record {record.id}" for record in self.records)

    @property
    def group_count(self) -> int:
        """How many groups there are."""
        return len(set(self.groups))

    @property
    def right_ids(self) -> list[str]:
        """The ids of the records with full marks: those that count as right."""
        pairs = zip(self.records, self.measured.items, strict=True)
        return [record.id for record, score in pairs if is_right(self.metric, score)]

    def where(self, chosen: Sequence[int]) -> Scored:
        """Return the records at these places."""
        return Scored(tuple(self.records[place] for place in chosen), self.metric, self.measured.where(chosen))


def is_right(metric: Metric, score: float) -> bool:
    """Return whether a score means full marks; where a metric knows none, as perplexity, nothing is right."""
    return bool(score > metric.scale.high - _ROUNDING)


def score_records(records: Sequence[Record], metric: Metric, name: str) -> Scored:
    """Return `records` with their scores; `name` says in an error whose they are.

    Raises `UserError` when there are none, when an id stands twice, or when one has no reference.
    """
    if not records:
        raise UserError(f"{name}: there are no records", hint="the evaluation has not come so far")
    repeated = [record_id for record_id, count in Counter(record.id for record in records).items() if count > 1]
    if repeated:
        raise UserError(f"{name}: {_some(repeated)} more than once", hint="each example is answered once")
    unanswerable = [record.id for record in records if not record.references]
    if unanswerable:
        raise UserError(f"{name}: {_some(unanswerable)} without references", hint="an answer is scored against them")
    measured = metric.measure(records)
    if np.isnan(measured.score):
        raise UserError(f"{name}: {metric.name} has nothing to score", hint=metric.rule)
    return Scored(tuple(records), metric, measured)


def align(first: Scored, second: Scored, first_name: str, second_name: str, hint: str = "") -> Scored:
    """Return `second` in the order of `first`.

    Raises `UserError`, with `hint`, when they are not about the same examples; and when the same id has other right
    answers.
    """
    places = {record.id: place for place, record in enumerate(second.records)}
    first_ids = {record.id for record in first.records}
    only_first = [record.id for record in first.records if record.id not in places]
    only_second = [record_id for record_id in places if record_id not in first_ids]
    if only_first or only_second:
        found = [
            f"only in {name}: {_some(ids)}"
            for name, ids in ((first_name, only_first), (second_name, only_second))
            if ids
        ]
        raise UserError(f"{first_name} and {second_name} are about different examples; {'; '.join(found)}", hint=hint)
    ordered = second.where([places[record.id] for record in first.records])
    other = [
        one.id
        for one, two in zip(first.records, ordered.records, strict=True)
        if set(one.references) != set(two.references)
    ]
    if other:
        raise UserError(
            f"{first_name} and {second_name}: {_some(other)} with different references",
            hint="the same id names different questions; nothing can be compared",
        )
    return ordered


def summarise(scored: Scored) -> dict[str, Any]:
    """Return a score as verdict.json holds it: its errors, its interval, and how many are right."""
    sure = estimate(scored.measured, scored.groups, scored.metric.scale)
    return {**sure.to_json(), "right": len(scored.right_ids)}


def difference_between(first: Scored, second: Scored, seed: int) -> Difference:
    """Return the paired difference of two predictors' scores on the same examples, in one order (`align`)."""
    return paired_difference(first.measured, second.measured, first.groups, seed, scale=first.metric.scale)


def break_down(by_predictor: Mapping[str, Scored], kind: Kind) -> list[dict[str, Any]]:
    """Return the scores for each kind of answer or question, the most frequent first; empty when none is told.

    All predictors must be in one order (`align`).
    """
    reference = next(iter(by_predictor.values()))
    values = [record.answer_type if kind == "answer_type" else record.question_type for record in reference.records]
    if not any(values):
        return []
    rows = []
    for value, count in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])):
        places = [place for place, own in enumerate(values) if own == value]
        parts = {predictor: scored.where(places) for predictor, scored in by_predictor.items()}
        rows.append({
            "value": value or NOT_GIVEN,
            "examples": count,
            "groups": reference.where(places).group_count,
            "scores": {predictor: summarise(part) for predictor, part in parts.items()},
        })  # fmt: skip
    return rows


def _some(ids: Sequence[str]) -> str:
    """Return how many there are and the first few, as "3 ids (17, 18, 19)"."""
    shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
    return f"{len(ids):,} {'id' if len(ids) == 1 else 'ids'} ({shown})"
