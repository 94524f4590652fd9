"""Records become scores: how high, how sure, and on each kind of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from finesight.errors import UserError
from finesight.evaluate.metrics.metric import Measured, Metric
from finesight.evaluate.stats import Difference, adjust_holm, estimate, paired_difference
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
        """How many groups there are with a record that has a score of its own."""
        return len({group for group, score in zip(self.groups, self.measured.items, strict=True) if score == score})

    @property
    def counted(self) -> int:
        """How many records have a score of their own: not those that are scored with another, as rotated copies."""
        return int(np.count_nonzero(~np.isnan(self.measured.items)))

    @property
    def right_ids(self) -> list[str]:
        """The ids of the records with full marks: those that count as right."""
        pairs = zip(self.records, self.measured.items, strict=True)
        return [record.id for record, score in pairs if is_right(self.metric, score)]

    def where(self, chosen: Sequence[int]) -> Scored:
        """Return the records at these places."""
        return Scored(tuple(self.records[place] for place in chosen), self.metric, self.measured.where(chosen))


def is_right(metric: Metric, score: float) -> bool:
    """Return whether a score means full marks. Where scores are no share of right answers, as BLEU's, nothing is."""
    return metric.scale.percent and bool(score > metric.scale.high - _ROUNDING)


def score_records(records: Sequence[Record], metric: Metric, name: str) -> Scored:
    """Return `records` with their scores; `name` says in an error whose they are.

    Raises `UserError` when there are none, when an id stands twice, or when one has no reference.
    """
    if not records:
        raise UserError(f"{name}: there are no records", hint="the evaluation has not come so far")
    repeated = [record_id for record_id, count in Counter(record.id for record in records).items() if count > 1]
    if repeated:
        raise UserError(f"{name}: {name_ids(repeated)} more than once", hint="each example is answered once")
    unanswerable = [record.id for record in records if not record.references]
    if unanswerable:
        raise UserError(f"{name}: {name_ids(unanswerable)} without references", hint="an answer is scored against them")
    measured = metric.measure(records)
    if np.isnan(measured.score):
        raise UserError(f"{name}: {metric.name} has nothing to score", hint=metric.rule)
    return Scored(tuple(records), metric, measured)


def summarise(scored: Scored) -> dict[str, Any]:
    """Return a score as verdict.json holds it: its errors, its interval, and how many are right of how many."""
    sure = estimate(scored.measured, scored.groups, scored.metric.scale)
    return {**sure.to_json(), "right": len(scored.right_ids), "counted": scored.counted}


def difference_between(first: Scored, second: Scored, seed: int) -> Difference:
    """Return the paired difference of two predictors' scores on the same examples, in one order (`align`)."""
    return paired_difference(first.measured, second.measured, first.groups, seed, scale=first.metric.scale)


def correct_together(differences: Sequence[dict[str, Any]]) -> None:
    """Add to each of these differences, as verdict.json holds them, the p that holds beside all the others."""
    adjusted = adjust_holm([difference["p_bootstrap"] for difference in differences])
    for difference, p_holm in zip(differences, adjusted, strict=True):
        difference["p_holm"] = p_holm


def break_down(by_predictor: Mapping[str, Scored], kind: Kind) -> list[dict[str, Any]]:
    """Return the scores for each kind of answer or question, the most frequent first; empty when none is told.

    A kind without an answer that has a score of its own, as one of copies alone, is left out. All predictors must be
    in one order (`align`).
    """
    reference = next(iter(by_predictor.values()))
    values = [record.answer_type if kind == "answer_type" else record.question_type for record in reference.records]
    if not any(values):
        return []
    rows = []
    for value, count in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])):
        places = [place for place, own in enumerate(values) if own == value]
        parts = {predictor: scored.where(places) for predictor, scored in by_predictor.items()}
        if not all(part.counted for part in parts.values()):
            continue
        rows.append({
            "value": value or NOT_GIVEN,
            "examples": count,
            "groups": reference.where(places).group_count,
            "scores": {predictor: summarise(part) for predictor, part in parts.items()},
        })  # fmt: skip
    return rows


def name_ids(ids: Sequence[str]) -> str:
    """Return how many there are and the first few, as "3 ids (17, 18, 19)"."""
    shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
    return f"{len(ids):,} {'id' if len(ids) == 1 else 'ids'} ({shown})"
