"""What tuning did to each contender of a comparison, on the tasks where that is the question: kept, lost, learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finesight.evaluate.alignment import align
from finesight.evaluate.contenders import AFTER, Contender
from finesight.evaluate.score import Scored, score_records, summarise
from finesight.evaluate.stats import paired_difference
from finesight.schema import MeasuredRole

BEFORE = "before"


def role_of(task: str, contenders: Sequence[Contender]) -> MeasuredRole:
    """Return why a task is measured, as the recipe of the first folder says that has it; of files alone, held out."""
    folders = (contender.run for contender in contenders if contender.run is not None)
    roles = (entry.role for folder in folders for entry in folder.tasks if entry.name == task)
    return next(roles, "held_out")


def changes_by_tuning(
    task: str, contenders: Sequence[Contender], scored: Mapping[str, Scored], seed: int
) -> dict[str, dict[str, Any]]:
    """Return for each tuned model how its answers to a task differ from those before its own tuning.

    They are of the examples that are compared, in the groups of the comparison. Whoever was not measured before has no
    entry. Raises `UserError` where an example is another one by now.
    """
    changes = {}
    for contender in contenders:
        after = scored[contender.name]
        before = _before(task, contender, after)
        if before is not None:
            change = paired_difference(before.measured, after.measured, after.groups, seed, scale=after.metric.scale)
            changes[contender.name] = {
                "from": BEFORE,
                "to": AFTER,
                "before": summarise(before),
                **change.to_json(),
            }
    return changes


def _before(task: str, contender: Contender, after: Scored) -> Scored | None:
    """Return a run's answers before its tuning to the very examples of `after`; None where it did not give them all."""
    if contender.run is None or contender.predictor != AFTER:
        return None
    compared = {record.id for record in after.records}
    records = [record for record in contender.run.records(BEFORE, task) if record.id in compared]
    if len(records) < len(compared) or not after.metric.scores(records[0]):
        return None
    name = f"{task} in {contender.name}"
    return align(after, score_records(records, after.metric, f"{name}, {BEFORE}"), name, f"{name}, {BEFORE}")
