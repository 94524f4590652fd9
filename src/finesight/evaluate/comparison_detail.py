"""What a comparison's page shows beside the scores: kinds of question, kinds of wrong, further metrics, and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from finesight.errors import UserError
from finesight.evaluate.comparison import Compared
from finesight.evaluate.contenders import Contender
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.outcomes import count_outcomes, outcome_of
from finesight.evaluate.score import KINDS, Scored, break_down, difference_between, score_records, summarise
from finesight.rundir import RunDir
from finesight.schema import Judged


def detail(compared: Compared) -> dict[str, Any]:
    """Return the comparison with more of each task.

    `by` has the scores for each kind of answer and question, `outcomes` how many answers of each contender were right
    or of which kind of wrong, and `also` its scores and differences by the metrics that the runs' recipes show beside
    the task's own, which no verdict rests on. `also_left_out` says of each of these that cannot score every
    contender's answers why not.
    """
    return compared.content | {
        "tasks": [
            {**task, **_detail_of(compared, task["name"], compared.scored[task["name"]])}
            for task in compared.content["tasks"]
        ]
    }


def judged_answers(compared: Compared) -> dict[str, dict[str, list[Judged]]]:
    """Return every answer with what became of it, by task and contender; those of a task are in one order."""
    return {
        task: {name: _judge(own) for name, own in by_contender.items()}
        for task, by_contender in compared.scored.items()
    }


def picture_folders(contenders: Sequence[Contender]) -> dict[str, Path]:
    """Return for each contender where its records' `thumbnail` paths begin: its run, or the file's own folder."""
    return {contender.name: _picture_folder(contender) for contender in contenders}


def _detail_of(compared: Compared, task: str, scored: Mapping[str, Scored]) -> dict[str, Any]:
    also: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for name in _metrics_beside(compared.contenders, task, next(iter(scored.values())).metric.name):
        try:
            also.append(_score_beside(name, task, scored, compared.seed))
        except UserError as refused:
            left_out[name] = refused.message
    return {
        "by": {kind: rows for kind in KINDS if (rows := break_down(scored, kind))},
        "outcomes": {name: counts for name, own in scored.items() if (counts := count_outcomes(own))},
        "also": also,
        "also_left_out": left_out,
    }


def _metrics_beside(contenders: Sequence[Contender], task: str, own: str) -> list[str]:
    """Return the metrics that the recipes of the runs name for a task beside its own, each once."""
    runs = [contender.run for contender in contenders if contender.run is not None]
    entries = (entry for run in runs for entry in run.tasks if entry.name == task)
    return [name for name in dict.fromkeys(chain.from_iterable(entry.also for entry in entries)) if name != own]


def _score_beside(name: str, task: str, scored: Mapping[str, Scored], seed: int) -> dict[str, Any]:
    """Return the scores by another metric. Raises `UserError` when it cannot score the answers of all."""
    metric = metric_named(name)
    beside = {who: score_records(own.records, metric, f"{task} in {who}") for who, own in scored.items()}
    first, *others = beside
    return {
        "metric": name,
        "metric_rule": metric.rule,
        "scale": metric.scale.to_json(),
        "scores": {who: summarise(own) for who, own in beside.items()},
        "differences": {
            who: {"from": first, "to": who, **difference_between(beside[first], beside[who], seed).to_json()}
            for who in others
        },
    }


def _judge(scored: Scored) -> list[Judged]:
    judges = scored.metric.scale.higher_is_better
    return [
        Judged(record, float(score), outcome_of(record, score, scored.metric) if judges and score == score else "")
        for record, score in zip(scored.records, scored.measured.items, strict=True)
    ]


def _picture_folder(contender: Contender) -> Path:
    if contender.run is not None:
        return contender.run.path
    folders = contender.path.resolve().parents
    return next((folder for folder in folders if RunDir.is_at(folder)), folders[0])
