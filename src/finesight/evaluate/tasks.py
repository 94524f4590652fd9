"""All tasks of a run, answered by one predictor after another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from finesight.evaluate.alignment import align
from finesight.evaluate.answer_key import AnswerKeys
from finesight.evaluate.baselines import majority_by_question_type_predictions, majority_predictions
from finesight.evaluate.engine import Engine
from finesight.evaluate.image_scores import asks_for_clip, pictures_of, with_image_scores
from finesight.evaluate.measure import Thumbnails, TokenizedTask, answer_task, make_records, measure
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.reuse import origins
from finesight.evaluate.score import KINDS, Scored, break_down, score_records, summarise
from finesight.evaluate.sharing import share_of_process
from finesight.evaluate.taking_over import TakingOver
from finesight.models.clip_scores import CaptionScorer
from finesight.models.loaded import Loaded
from finesight.processes import in_rounds, once
from finesight.rundir import MEASURED, RunDir
from finesight.runtime import StopRequest, process_count
from finesight.schema import Example, Record, TaskExamples


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
    earlier: RunDir | None = None,
) -> None:
    """Answer every task as `predictor`, going on where an earlier start stopped.

    `max_tokens` may be in the model at once; None for what fits into the free memory. With `without_context`, tasks
    with questions about neither an image nor a text are left out: these would be answered as before, and what the model
    knows would pass for a guess. Answers of the `earlier` run are taken over where all that decides them is equal; with
    several processes none are, and no key of the answers is kept.
    """
    loaded.model.eval()
    engine = Engine(loaded, max_tokens, without_context)
    taking_over = TakingOver(AnswerKeys(loaded, without_context=without_context), run, predictor, earlier)
    for tokenized in tasks:
        if not without_context or all(example.has_context for example in tokenized.task.examples):
            if process_count() == 1:
                taking_over.begin(tokenized, thumbnails=thumbnails, stop=stop)
            measure(engine, tokenized, run, predictor=predictor, thumbnails=thumbnails, stop=stop)
    torch.cuda.empty_cache()  # what large batches have held is free again for what comes next, as training


def guess_all(
    learned: Sequence[Example], tasks: Sequence[TaskExamples], run: RunDir, *, thumbnails: Thumbnails
) -> None:
    """Answer every task as somebody would who never looks: the most frequent answer, overall and by question type."""
    guesses = {
        "majority": majority_predictions,
        "majority_by_question_type": majority_by_question_type_predictions,
    }
    for predictor, guess in guesses.items():
        for task in tasks:
            examples = {example.id: example for example in task.examples}
            records = make_records(guess(task, learned), examples, thumbnails)
            run.records_file(predictor, task.name).unlink(missing_ok=True)
            run.append_records(predictor, task.name, records)


def probe(
    loaded: Loaded,
    tasks: Sequence[TokenizedTask],
    *,
    max_tokens: int,
    stop: StopRequest,
    scorer: CaptionScorer | None = None,
) -> dict[str, float]:
    """Return the scores of the tasks drawn from the validation set: what may be watched while training.

    `scorer` is that of `open_scorer`, there where a task asks for it. Raises `Interrupted` between batches when asked
    to stop.
    """
    loaded.model.eval()
    engine = Engine(loaded, max_tokens)
    scores = {}
    for tokenized in tasks:
        task = tokenized.task
        if task.drawn_from == "validation":
            examples = {example.id: example for example in task.examples}
            mine = {example.id for example in share_of_process(task.examples)}
            questions = [single for single in tokenized.questions if single.branches[0].example.id in mine]
            predictions = []
            for some in in_rounds(answer_task(engine, task, questions), stop):
                predictions += some
            scores[task.name] = once(partial(_score, task, make_records(predictions, examples, {}), scorer))
    return scores


def _score(task: TaskExamples, records: Sequence[Record], scorer: CaptionScorer | None) -> float:
    if scorer is not None and asks_for_clip(task):
        records = with_image_scores(scorer, records, pictures_of(task))
    return float(summarise(score_records(records, metric_named(task.metric), task.name))["score"])


def require_scorable(run: RunDir, tasks: Sequence[TaskExamples], predictor: str) -> None:
    """Score a predictor that has answered everything by every metric of the tasks.

    Raises `UserError` where a metric cannot be had, as one that needs a library or java: before hours of answering,
    and not after them.
    """
    for task in tasks:
        records = run.records(predictor, task.name)
        for metric in map(metric_named, (task.metric, *task.also)):
            if metric.scores(records[0]):
                score_records(records, metric, f"{task.name}: {predictor}")


def score_all(run: RunDir, tasks: Sequence[TaskExamples], shown_first: Sequence[str] = (MEASURED,)) -> dict[str, Any]:
    """Return the content of scores.json: what every predictor scores on every task, and on each kind of question.

    Those of `shown_first` stand first, in that order.
    """
    return {"tasks": [_score_task(run, task, shown_first) for task in tasks]}


def _score_task(run: RunDir, task: TaskExamples, shown_first: Sequence[str]) -> dict[str, Any]:
    scored = _scored_by_all(run, task, task.metric, shown_first)
    first = next(iter(scored.values()))
    return {
        "name": task.name,
        "metric": task.metric,
        "scale": first.metric.scale.to_json(),
        "examples": len(first.records),
        "groups": first.group_count,
        "scores": {predictor: summarise(own) for predictor, own in scored.items()},
        "also": [_score_beside(run, task, metric, shown_first) for metric in task.also],
        "by": {kind: break_down(scored, kind) for kind in KINDS},
        "taken_over": origins(run, task.name),
    }


def _score_beside(run: RunDir, task: TaskExamples, metric: str, shown_first: Sequence[str]) -> dict[str, Any]:
    scored = _scored_by_all(run, task, metric, shown_first)
    return {
        "metric": metric,
        "scale": metric_named(metric).scale.to_json(),
        "scores": {predictor: summarise(own) for predictor, own in scored.items()},
    }


def _scored_by_all(run: RunDir, task: TaskExamples, metric: str, shown_first: Sequence[str]) -> dict[str, Scored]:
    """Return the scored records of all who answered, in the order of the first one's.

    Raises `UserError` when one of them has answered other examples than the first.
    """
    answered = run.predictors(task.name)
    leading = [name for name in shown_first if name in answered]
    first, *others = [*leading, *(name for name in answered if name not in leading)]
    chosen = metric_named(metric)
    records = {name: run.records(name, task.name) for name in (first, *others)}
    scored = {
        name: score_records(own, chosen, name)
        for name, own in records.items()
        if name == first or chosen.scores(own[0])
    }
    return {name: align(scored[first], own, first, name) for name, own in scored.items()}


def answer_one(loaded: Loaded, example: Example, *, max_new_tokens: int) -> str:
    """Return the model's answer to one question."""
    single = loaded.formatter.encode(example, answered=False)
    engine = Engine(loaded, max_tokens=single.tokens + max_new_tokens)
    ((prediction,),) = engine.answer([single], max_new_tokens=max_new_tokens)
    return prediction.text
