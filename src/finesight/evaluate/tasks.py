"""All tasks of a run, answered by one predictor after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finesight.evaluate.baselines import majority_by_question_type_predictions, majority_predictions
from finesight.evaluate.engine import Engine
from finesight.evaluate.measure import Thumbnails, TokenizedTask, answer_task, make_records, measure
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.score import KINDS, align, break_down, score_records, summarise
from finesight.models.loaded import Loaded
from finesight.rundir import MEASURED, RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example, TaskExamples


def evaluate_all(
    loaded: Loaded,
    tasks: Sequence[TokenizedTask],
    run: RunDir,
    predictor: str,
    *,
    thumbnails: Thumbnails,
    max_tokens: int | None,
    stop: StopRequest,
    without_context: bool = False,
) -> None:
    """Answer every task as `predictor`, going on where an earlier start stopped.

    `max_tokens` may be in the model at once; None for what fits into the free memory. With `without_context`, tasks
    with questions about neither an image nor a text are left out: these would be answered as before, and what the model
    knows would pass for a guess.
    """
    loaded.model.eval()
    engine = Engine(loaded, max_tokens, without_context)
    for tokenized in tasks:
        if not without_context or all(example.has_context for example in tokenized.task.examples):
            measure(engine, tokenized, run, predictor=predictor, thumbnails=thumbnails, stop=stop)


def guess_all(
    learned: Sequence[Example], tasks: Sequence[TokenizedTask], run: RunDir, *, thumbnails: Thumbnails
) -> None:
    """Answer every task as somebody would who never looks: the most frequent answer, overall and by question type."""
    guesses = {
        "majority": majority_predictions,
        "majority_by_question_type": majority_by_question_type_predictions,
    }
    for predictor, guess in guesses.items():
        for tokenized in tasks:
            examples = {example.id: example for example in tokenized.task.examples}
            records = make_records(guess(tokenized.task, learned), examples, thumbnails)
            run.records_file(predictor, tokenized.task.name).unlink(missing_ok=True)
            run.append_records(predictor, tokenized.task.name, records)


def probe(loaded: Loaded, tasks: Sequence[TokenizedTask], *, max_tokens: int) -> dict[str, float]:
    """Return the scores of the tasks drawn from the validation set: what may be watched while training."""
    loaded.model.eval()
    engine = Engine(loaded, max_tokens)
    scores = {}
    for tokenized in tasks:
        task = tokenized.task
        if task.drawn_from == "validation":
            examples = {example.id: example for example in task.examples}
            records = [
                record
                for predictions in answer_task(engine, task, tokenized.questions)
                for record in make_records(predictions, examples, {})
            ]
            scored = score_records(records, metric_named(task.metric), task.name)
            scores[task.name] = float(summarise(scored)["score"])
    return scores


def score_all(run: RunDir, tasks: Sequence[TaskExamples]) -> dict[str, Any]:
    """Return the content of scores.json: what every predictor scores on every task, and on each kind of question."""
    return {"tasks": [_score_task(run, task) for task in tasks]}


def _score_task(run: RunDir, task: TaskExamples) -> dict[str, Any]:
    metric = metric_named(task.metric)
    scored = {
        predictor: score_records(run.records(predictor, task.name), metric, predictor)
        for predictor in run.predictors(task.name)
    }
    measured = scored[MEASURED]
    aligned = {name: align(measured, own, MEASURED, name) for name, own in scored.items()}
    return {
        "name": task.name,
        "metric": task.metric,
        "examples": len(measured.records),
        "groups": measured.group_count,
        "scores": {predictor: summarise(own) for predictor, own in aligned.items()},
        "by": {kind: break_down(aligned, kind) for kind in KINDS},
    }


def answer_one(loaded: Loaded, example: Example, *, max_new_tokens: int) -> str:
    """Return the model's answer to one question."""
    single = loaded.formatter.encode(example, answered=False)
    engine = Engine(loaded, max_tokens=single.tokens + max_new_tokens)
    ((prediction,),) = engine.answer([single], max_new_tokens=max_new_tokens)
    return prediction.text
