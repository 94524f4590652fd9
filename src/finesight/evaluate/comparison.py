"""Several predictors on the same examples: what each scores, and how much the others differ from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from finesight.errors import UserError
from finesight.evaluate.alignment import align, share_groups
from finesight.evaluate.by_tuning import changes_by_tuning, role_of
from finesight.evaluate.contenders import Contender, open_contenders
from finesight.evaluate.headline import warn_of_few_groups
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.score import Scored, correct_together, difference_between, score_records, summarise
from finesight.findings import find
from finesight.numerals import figures_of
from finesight.schema import Record

DEFAULT_METRIC = "exact_match"
DEFAULT_SEED = 42
INTERSECT = "--intersect compares the examples that all have answered"


@dataclass(frozen=True)
class Compared:
    """A comparison, and the answers that it is of."""

    content: dict[str, Any]
    """What `compare` returns."""
    contenders: tuple[Contender, ...]
    scored: dict[str, dict[str, Scored]]
    """By task and contender; the answers to a task in the order of the first contender's."""
    seed: int


def compare(
    named: Sequence[str], metric: str | None = None, *, intersect: bool = False, seed: int = DEFAULT_SEED
) -> dict[str, Any]:
    """Return what each of `named` scores on every task that all have answered, and the differences from the first.

    A run is compared by its `after` records, each task by the metric of its recipe unless `metric` names one.
    `intersect` allows different sets of examples, and compares those that are in all. Returns `{"contenders",
    "tasks", "left_out", "warnings"}`; a task has `name`, `role`, `metric`, `scale`, `examples`, `groups`, and for each
    contender a score as in verdict.json (`scores`), how many of its answers were left out (`left_out`) and, but for
    the first, the paired difference from the first (`differences`), whose `p_holm` holds for all differences of all
    tasks together and whose `verdict` is `better`, `worse` or `no difference found`. Where the role is not held_out,
    `by_tuning` has for each run the difference from its own answers before tuning, and the score of these (`before`).
    Raises `UserError` when there is nothing that can be compared.
    """
    return compare_answers(named, metric, intersect=intersect, seed=seed).content


def compare_answers(
    named: Sequence[str], metric: str | None = None, *, intersect: bool = False, seed: int = DEFAULT_SEED
) -> Compared:
    """Return what `compare` does, and the answers behind it."""
    contenders = open_contenders(named)
    metrics, left_out = _shared_tasks(contenders, metric)
    records = {task: {contender.name: contender.records(task) for contender in contenders} for task in metrics}
    scored = {
        task: _score_alike(task, metrics[task], _intersect(given) if intersect else given)
        for task, given in records.items()
    }
    tasks = [
        {**_compare_on(task, records[task], own, seed), **_role(task, contenders, own, seed)}
        for task, own in scored.items()
    ]
    correct_together(list(chain.from_iterable(task["differences"].values() for task in tasks)))
    for task in tasks:
        for difference in task["differences"].values():
            difference["verdict"] = find(difference, figures_of(task))
    names = [contender.name for contender in contenders]
    warnings = [*warn_of_few_groups(tasks), *_metric_warnings(scored)]
    content = {"contenders": names, "tasks": tasks, "left_out": left_out, "warnings": warnings}
    return Compared(content, tuple(contenders), scored, seed)


def _role(task: str, contenders: Sequence[Contender], scored: Mapping[str, Scored], seed: int) -> dict[str, Any]:
    """Return why a task is measured and, where that is no contest, what each contender's own tuning did on it."""
    role = role_of(task, contenders)
    by_tuning = {} if role == "held_out" else changes_by_tuning(task, contenders, scored, seed)
    return {"role": role, "by_tuning": by_tuning}


def _shared_tasks(contenders: Sequence[Contender], metric: str | None) -> tuple[dict[str, str], list[str]]:
    """Return the metric of each task that all have answered, and the names of the other tasks.

    A file's records stand for the one task that the runs beside it share.
    """
    of_runs = [contender for contender in contenders if contender.run is not None]
    if not of_runs:
        return {"predictions": metric or DEFAULT_METRIC}, []
    answered = {contender.name: contender.metrics for contender in of_runs}
    first, *others = answered.values()
    shared = {task: metric or own for task, own in first.items() if all(task in other for other in others)}
    everything = dict.fromkeys(chain.from_iterable(answered.values()))
    if not shared:
        has = "; ".join(f"{name} has {', '.join(tasks) or 'none'}" for name, tasks in answered.items())
        raise UserError("no task was answered by all", hint=has)
    if len(of_runs) < len(contenders) and len(shared) > 1:
        raise UserError(
            f"the runs share {len(shared)} tasks ({', '.join(shared)}), and a predictions file answers one",
            hint="name the runs' own file of that task: RUN/evaluation/after/TASK.jsonl",
        )
    for task in shared if metric is None else ():
        _require_one_metric(task, {name: tasks[task] for name, tasks in answered.items()})
    return shared, [task for task in everything if task not in shared]


def _require_one_metric(task: str, metrics: Mapping[str, str]) -> None:
    if len(set(metrics.values())) > 1:
        told = ", ".join(f"by {metric} in {name}" for name, metric in metrics.items())
        raise UserError(f"{task}: scored {told}", hint="name one for all with --metric")


def _compare_on(
    task: str, records: Mapping[str, Sequence[Record]], scored: Mapping[str, Scored], seed: int
) -> dict[str, Any]:
    first, *others = scored
    metric = scored[first].metric
    return {
        "name": task,
        "metric": metric.name,
        "metric_rule": metric.rule,
        "scale": metric.scale.to_json(),
        "examples": len(scored[first].records),
        "groups": scored[first].group_count,
        "scores": {name: summarise(own) for name, own in scored.items()},
        "left_out": {name: len(own) - len(scored[name].records) for name, own in records.items()},
        "differences": {
            name: {"from": first, "to": name, **difference_between(scored[first], scored[name], seed).to_json()}
            for name in others
        },
    }


def _intersect(records: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """Return of each the records whose id is in all. Before they are scored: a metric may look at all of them."""
    shared = set.intersection(*({record.id for record in own} for own in records.values()))
    if not shared:
        raise UserError("no example was answered by all", hint="their ids have to be those of the same data")
    return {name: [record for record in own if record.id in shared] for name, own in records.items()}


def _score_alike(task: str, metric: str, records: Mapping[str, Sequence[Record]]) -> dict[str, Scored]:
    """Return the scored records of each contender, all in the order of the first and in the same groups."""
    scored = {name: score_records(own, metric_named(metric), f"{task} in {name}") for name, own in records.items()}
    first = next(iter(scored))
    aligned = {
        name: align(scored[first], own, f"{task} in {first}", f"{task} in {name}", hint=INTERSECT)
        for name, own in scored.items()
    }
    return share_groups(aligned)


def _metric_warnings(scored: Mapping[str, Mapping[str, Scored]]) -> list[str]:
    return [
        f"{task}, {name}: {warning}"
        for task, by_contender in scored.items()
        for name, own in by_contender.items()
        for warning in own.metric.warnings(own.records)
    ]
