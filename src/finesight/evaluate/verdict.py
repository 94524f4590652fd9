"""The verdict of a run: every task's scores, baselines and differences, and one headline that promises no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finesight.errors import UserError
from finesight.evaluate.alignment import align
from finesight.evaluate.baselines import majority_from
from finesight.evaluate.headline import REHEARSED, headline, warn_of_empty_answers, warn_of_few_groups
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.outcomes import count_became_right, count_outcomes
from finesight.evaluate.reuse import origins
from finesight.evaluate.score import (
    KINDS,
    Scored,
    break_down,
    correct_together,
    difference_between,
    score_records,
    summarise,
)
from finesight.recipe.evaluate import SetTask, Task
from finesight.recipe.named_tasks import changed_fields
from finesight.rundir import RunDir, how_to_go_on
from finesight.schema import TaskExamples

BASELINES = ("blind", "majority", "majority_by_question_type")
"""What knows less than the tuned model: itself given the question alone, and guessing."""
PREDICTORS = ("before", "after", *BASELINES)
NEEDED = ("before", "after")
_CHOSE = (
    "{name}: there is no test set, so the verdict is on the validation set, which also chose the checkpoint. The score "
    "after tuning is too high, and nobody can say by how much."
)


def judge(run: RunDir, tasks: Sequence[TaskExamples], seed: int, warnings: Sequence[str]) -> dict[str, Any]:
    """Return the content of verdict.json, from the stored records of the tasks; docs/run-folder.md explains it.

    Raises `UserError` when `before` or `after` is missing, or when records are not exactly those of the examples.
    """
    for task in tasks:
        expected = {example.id for example in task.examples}
        for predictor in PREDICTORS:
            _require_complete(run, predictor, task.name, expected)
    return _judge(run, tasks, seed, warnings)


def rejudge(run: RunDir) -> dict[str, Any]:
    """Return the content of verdict.json from the records and the recipe alone, without the examples.

    Judged are the tasks that the tuned model has answered; the warnings of the earlier verdict are kept. Raises
    `UserError` when there is no such task, or when one was not answered before tuning.
    """
    warnings = run.load("verdict").get("headline", {}).get("warnings", [])
    tasks = [
        _without_examples(task) for task in run.recipe.evaluate if run.records_file("after", task.name).exists()
    ]  # fmt: skip
    if not tasks:
        raise UserError(f"{run.path}: the tuned model has answered no task yet", hint=how_to_go_on(run.path))
    return _judge(run, tasks, run.recipe.seed, warnings)


def _without_examples(task: Task) -> TaskExamples:
    """Return a task of the recipe for what is said of it: what is right about its examples, the records hold."""
    drawn_from = task.from_ if isinstance(task, SetTask) else "its own source"
    return TaskExamples(task.name, task.role, task.metric, task.max_new_tokens, (), drawn_from, task.also)


def _require_complete(run: RunDir, predictor: str, task: str, expected: set[str]) -> None:
    answered = {record.id for record in run.records(predictor, task)}
    if not answered and predictor not in NEEDED:
        return
    missing, unknown = len(expected - answered), len(answered - expected)
    if missing or unknown:
        raise UserError(
            f"{run.records_file(predictor, task)}: of {len(expected):,} examples {missing:,} are not answered, "
            f"and {unknown:,} answers are to other examples",
            hint=f"finish the evaluation: {how_to_go_on(run.path)}" if missing else "the data have changed since then",
        )


def _judge(run: RunDir, tasks: Sequence[TaskExamples], seed: int, warnings: Sequence[str]) -> dict[str, Any]:
    benchmarks = _benchmarks(run)
    judged = [
        {
            **_judge_task(task, _read(run, task), seed),
            "also": _judge_beside(run, task, seed),
            "benchmark": benchmarks.get(task.name),
            "taken_over": origins(run, task.name),
        }
        for task in tasks
    ]
    own_warnings = [*warn_of_empty_answers(judged), *warn_of_few_groups(judged)]
    _correct_for_several(judged)
    reported = {task.name for task in run.recipe.reported_tasks()}
    used_in_training = {task.name: task.drawn_from for task in tasks if task.drawn_from in ("validation", "train")}
    own_warnings += [warning for task in tasks for warning in _metric_warnings(run, task)]
    own_warnings += [_CHOSE.format(name=name) for name in used_in_training if name in reported]
    own_warnings += [
        f"{name}: not measured as the benchmark {benchmark['task']} says; the recipe changes "
        f"{', '.join(benchmark['changed'])}"
        for name, benchmark in benchmarks.items()
        if benchmark["changed"]
    ]
    verdict, sentences = headline(
        judged, {name: of_set for name, of_set in used_in_training.items() if name not in reported}
    )
    all_warnings = list(dict.fromkeys([*warnings, *own_warnings]))
    if run.is_rehearsal:
        verdict, sentences, all_warnings = "rehearsal", [REHEARSED], []
    return {"headline": {"verdict": verdict, "sentences": sentences, "warnings": all_warnings}, "tasks": judged}


def _metric_warnings(run: RunDir, task: TaskExamples) -> list[str]:
    """Return what a reader must know of how the answers before and after were measured, by each metric of a task."""
    answered = {predictor: run.records(predictor, task.name) for predictor in NEEDED}
    return [
        f"{task.name}, {predictor}: {warning}"
        for predictor, records in answered.items()
        for metric in map(metric_named, (task.metric, *task.also))
        for warning in metric.warnings(records)
    ]


def _benchmarks(run: RunDir) -> dict[str, dict[str, Any]]:
    """Return of each task that is a benchmark of finesight's which one, its version, and what the recipe changes."""
    entries = run.recipe.model_dump(mode="json", by_alias=True)["evaluate"]
    return {
        entry["name"]: {
            "task": entry["task"], "version": entry["task_version"], "changed": changed_fields(entry),
        }
        for entry in entries
        if entry["task"]
    }  # fmt: skip


def _correct_for_several(judged: Sequence[dict[str, Any]]) -> None:
    """Add to the differences of each task the p that holds for all tasks of its role together.

    The changes are one family, and what is over the baselines another: two questions, each answered for all tasks.
    """
    for role in {task["role"] for task in judged}:
        for which in ("difference", "over_baseline"):
            correct_together([task[which] for task in judged if task["role"] == role and task[which] is not None])


def _judge_beside(run: RunDir, task: TaskExamples, seed: int) -> list[dict[str, Any]]:
    """Return the scores and the change by each metric that is shown beside the task's own."""
    beside = []
    for name in task.also:
        scored = _read(run, replace(task, metric=name))
        metric = scored["after"].metric
        beside.append({
            "metric": name,
            "metric_rule": metric.rule,
            "scale": metric.scale.to_json(),
            "scores": {predictor: summarise(own) for predictor, own in scored.items()},
            "difference": _difference("before", scored, seed),
        })  # fmt: skip
    return beside


def _read(run: RunDir, task: TaskExamples) -> dict[str, Scored]:
    """Return the scored records of each predictor that has answered, all in the order of `after`."""
    metric = metric_named(task.metric)
    scored: dict[str, Scored] = {}
    for predictor in PREDICTORS:
        records = run.records(predictor, task.name)
        if predictor in NEEDED or (records and metric.scores(records[0])):
            scored[predictor] = score_records(records, metric, str(run.records_file(predictor, task.name)))
    return {
        predictor: align(scored["after"], own, f"{task.name} (after)", f"{task.name} ({predictor})")
        for predictor, own in scored.items()
    }


def _judge_task(task: TaskExamples, scored: Mapping[str, Scored], seed: int) -> dict[str, Any]:
    after = scored["after"]
    scores = {predictor: summarise(own) for predictor, own in scored.items()}
    baselines = [predictor for predictor in BASELINES if predictor in scored]
    pick = max if after.metric.scale.higher_is_better else min
    best = pick(baselines, key=lambda predictor: float(scores[predictor]["score"]), default=None)
    return {
        "name": task.name,
        "role": task.role,
        "metric": task.metric,
        "metric_rule": after.metric.rule,
        "scale": after.metric.scale.to_json(),
        "examples": len(after.records),
        "groups": after.group_count,
        "scores": scores,
        "majority_from": majority_from(task.drawn_from),
        "difference": _difference("before", scored, seed),
        "over_baseline": _difference(best, scored, seed) if best else None,
        "right_ids": {predictor: own.right_ids for predictor, own in scored.items()},
        "outcomes": {predictor: count_outcomes(scored[predictor]) for predictor in NEEDED},
        "became_right": count_became_right(scored["before"], after),
        "by": {kind: break_down(scored, kind) for kind in KINDS},
    }


def _difference(predictor: str, scored: Mapping[str, Scored], seed: int) -> dict[str, Any]:
    first, after = scored[predictor], scored["after"]
    difference = difference_between(first, after, seed)
    return {"from": predictor, "to": "after", **difference.to_json()}
