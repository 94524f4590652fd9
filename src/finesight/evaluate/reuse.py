"""Answers that were given before: equal in all that decides them, or in which parts they are not.

Beside the records of a task lies the key of its answers (`answer_key`), and what was taken over, where from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finesight.errors import UserError
from finesight.rundir import RunDir

HASHED = {
    "weights": "the weights differ",
    "configuration": "the model's configuration differs",
    "tokenizer": "the tokenizer differs",
    "image_processor": "images are prepared otherwise",
    "examples": "the examples differ",
    "prompt": "the prompt differs",
    "options": "the options differ",
    "weighed_references": "other references are weighed",
}
"""What is said where a part of the key differs that is a hash, and says nothing itself."""
FOLLOWS_FROM = {"prompt": "examples", "options": "examples", "weighed_references": "examples"}
"""What cannot be equal where another part differs, and so adds nothing."""


def require_answers(run: RunDir) -> None:
    """Raise `UserError` for a folder whose answers cannot be taken over: a rehearsal's, and one without any."""
    if run.is_rehearsal:
        raise UserError(f"{run.path}: a rehearsal, whose answers mean nothing", hint="name a run or an evaluation")
    if not any((run.path / "evaluation").glob("*/*.jsonl")):
        raise UserError(f"{run.path}: there are no answers yet", hint="name a run or an evaluation that has some")


def note_key(run: RunDir, predictor: str, task: str, key: Mapping[str, Any]) -> None:
    """Keep the key of the answers that are given from now on.

    Where some were given by another, as by another version of a library before the run was resumed, no key holds for
    all, and none is kept: these answers are never taken over.
    """
    noted = run.answering(predictor, task)
    if "key" in noted and noted["key"] in (key, None):
        return
    begun = bool(run.records(predictor, task))
    run.save_answering(predictor, task, {**noted, "key": None if begun else dict(key)})


def note_origin(run: RunDir, predictor: str, task: str, earlier: RunDir, given_by: str) -> None:
    """Keep from which run, and whose there, answers are that are taken over."""
    origin = {"run": str(earlier.path.resolve()), "predictor": given_by}
    run.save_answering(predictor, task, {**run.answering(predictor, task), "taken_over": origin})


def origins(run: RunDir, task: str) -> dict[str, dict[str, str]]:
    """Return the predictors whose answers to a task were taken over, each with the run and predictor they are of."""
    noted = {predictor: run.answering(predictor, task).get("taken_over") for predictor in run.predictors(task)}
    return {predictor: origin for predictor, origin in noted.items() if origin}


def who_answered(earlier: RunDir, task: str, key: Mapping[str, Any]) -> str | None:
    """Return the predictor of an earlier run whose answers to a task have this key, or None.

    Whoever it is: the model before a run's tuning may be one that an evaluation has measured.
    """
    return next((predictor for predictor, kept in _kept_keys(earlier, task).items() if kept == key), None)


def why_not(earlier: RunDir, predictor: str, task: str, key: Mapping[str, Any]) -> str:
    """Return why no answers of an earlier run to a task have this key.

    Told is in what those of the same predictor differ; where it has not answered there, those that come nearest.
    """
    answered = earlier.predictors(task)
    if not answered:
        return f"{earlier.path} has no answers to it"
    kept = _kept_keys(earlier, task)
    alike = [kept[predictor]] if predictor in kept else list(kept.values())
    if not alike or (predictor in answered and predictor not in kept):
        return f"{earlier.path} does not say how it was answered"
    nearest = min((differences(each, key) for each in alike), key=lambda differing: len(differing))
    return "; ".join(nearest)


def differences(kept: Mapping[str, Any], key: Mapping[str, Any]) -> list[str]:
    """Return in words in which parts a key differs from one that was kept."""
    differing = [name for name in dict.fromkeys([*key, *kept]) if kept.get(name) != key.get(name)]
    return [
        HASHED.get(name) or f"{name} is {_shown(key.get(name))}, and was {_shown(kept.get(name))}"
        for name in differing
        if FOLLOWS_FROM.get(name) not in differing
    ]


def _kept_keys(run: RunDir, task: str) -> dict[str, Mapping[str, Any]]:
    noted = {predictor: run.answering(predictor, task).get("key") for predictor in run.predictors(task)}
    return {predictor: key for predictor, key in noted.items() if key}


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
