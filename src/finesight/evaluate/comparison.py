"""Two runs, or two predictions files, on the same examples: how much higher the second scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finesight.errors import UserError
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.predictions import read_predictions
from finesight.evaluate.score import Scored, align, difference_between, score_records, summarise
from finesight.rundir import RunDir
from finesight.schema import Record

DEFAULT_METRIC = "exact_match"
DEFAULT_SEED = 42


def compare(
    a: Path, b: Path, metric: str | None = None, *, intersect: bool = False, seed: int = DEFAULT_SEED
) -> dict[str, Any]:
    """Return the scores of `a` and `b` and their paired difference (b minus a) for each task that they share.

    Two run folders are compared by their `after` records, each task by the metric of its recipe unless `metric`
    names one; two predictions files by `metric` or exact match. `intersect` allows different sets of examples, and
    compares those in both. Returns `{"a", "b", "tasks", "left_out"}`; a task has `name`, `metric`, `examples`,
    `groups`, `a`, `b` (scores as in verdict.json), `difference`, and `only_in_a` and `only_in_b`, the number of
    examples left out. Raises `UserError` when there is nothing that can be compared.
    """
    names = _labels(a, b)
    if a.is_dir() != b.is_dir():
        raise UserError(f"{a} and {b}: one is a folder, the other a file", hint="compare two runs, or two .jsonl files")
    if a.is_dir():
        run_a, run_b = RunDir.existing(a), RunDir.existing(b)
        for run in (run_a, run_b):
            if run.is_rehearsal:
                raise UserError(f"{run.path}: a rehearsal, whose figures mean nothing", hint="compare two runs")
        metrics, left_out = _shared_tasks(run_a, run_b, metric)
        records = {name: (run_a.records("after", name), run_b.records("after", name)) for name in metrics}
    else:
        metrics, left_out = {a.stem if a.stem == b.stem else "predictions": metric or DEFAULT_METRIC}, []
        records = dict.fromkeys(metrics, (read_predictions(a), read_predictions(b)))
    tasks = [
        _compare_records(task, metrics[task], names, records[task], intersect=intersect, seed=seed) for task in metrics
    ]
    return {"a": names[0], "b": names[1], "tasks": tasks, "left_out": left_out}


def _labels(a: Path, b: Path) -> tuple[str, str]:
    names = (a.resolve().name, b.resolve().name)
    return names if names[0] != names[1] else (str(a), str(b))


def _shared_tasks(a: RunDir, b: RunDir, metric: str | None) -> tuple[dict[str, str], list[str]]:
    """Return the metric of each task that both runs have answered after tuning, and the names of the others."""
    answered_a, answered_b = _answered(a), _answered(b)
    shared = {name: metric or own for name, own in answered_a.items() if name in answered_b}
    left_out = [name for name in dict.fromkeys([*answered_a, *answered_b]) if name not in shared]
    if not shared:
        raise UserError(
            f"{a.path} and {b.path}: no task was answered by both after tuning",
            hint=f"{a.path} has {_listed(answered_a)}; {b.path} has {_listed(answered_b)}",
        )
    unlike = [name for name in shared if metric is None and answered_a[name] != answered_b[name]]
    if unlike:
        raise UserError(
            f"{unlike[0]}: scored by {answered_a[unlike[0]]} in {a.path}, by {answered_b[unlike[0]]} in {b.path}",
            hint="name one for both with --metric",
        )
    return shared, left_out


def _answered(run: RunDir) -> dict[str, str]:
    return {task.name: task.metric for task in run.recipe.evaluate if run.records_file("after", task.name).exists()}


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(names) or "none"


def _compare_records(
    task: str, metric: str, names: tuple[str, str], records: tuple[list[Record], list[Record]], *, intersect: bool,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    label_a, label_b = (f"{task} in {name}" for name in names)
    a, b = (
        score_records(own, metric_named(metric), label) for own, label in zip(records, (label_a, label_b), strict=True)
    )
    left_a, left_b = 0, 0
    if intersect:
        shared = {record.id for record in a.records} & {record.id for record in b.records}
        if not shared:
            raise UserError(f"{label_a} and {label_b}: no example is in both")
        left_a, left_b = len(a.records) - len(shared), len(b.records) - len(shared)
        a, b = _only(a, shared), _only(b, shared)
    b = align(a, b, label_a, label_b, hint="--intersect compares the examples that are in both")
    return {
        "name": task,
        "metric": metric,
        "examples": len(a.records),
        "groups": a.group_count,
        "a": summarise(a),
        "b": summarise(b),
        "difference": {
            "from": names[0], "to": names[1], **difference_between(a, b, seed).to_json(),
        },
        "only_in_a": left_a,
        "only_in_b": left_b,
    }  # fmt: skip


def _only(scored: Scored, ids: set[str]) -> Scored:
    return scored.where([place for place, record in enumerate(scored.records) if record.id in ids])
