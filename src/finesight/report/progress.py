"""How far a run came, said exactly: what an interrupted run's page begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from finesight.numerals import count, loss
from finesight.recipe.evaluate import SetTask, Task
from finesight.recipe.recipe import Stage
from finesight.report.files import RunFiles
from finesight.rundir import how_to_go_on

State = Literal["done", "partly", "not yet"]
Answered = Mapping[str, Mapping[str, int]]
"""How many questions are answered, by task and predictor."""


@dataclass(frozen=True)
class Step:
    """One piece of the run, and how far it came."""

    name: str
    state: State
    detail: str


def answered_in(files: RunFiles) -> Answered:
    """Return how many records of each task and predictor there are."""
    return {
        task: {predictor: len(records) for predictor, records in by_predictor.items()}
        for task, by_predictor in files.records.items()
    }


def steps(files: RunFiles, answered: Answered) -> tuple[Step, ...]:
    """Return the pieces of the run in their order. What a later piece has begun behind is done."""
    found = list(_steps(files, answered))
    begun = [place for place, step in enumerate(found) if step.state != "not yet"]
    return tuple(
        replace(step, state="done") if begun and place < begun[-1] else step for place, step in enumerate(found)
    )


def is_finished(files: RunFiles) -> bool:
    """Return whether there is a verdict with every task measured before and after."""
    judged = {task["name"]: task["scores"] for task in files.verdict.get("tasks", [])}
    return all({"before", "after"} <= judged.get(task.name, {}).keys() for task in files.recipe.evaluate)


def how_it_ended(files: RunFiles) -> str:
    """Return in a sentence or two how a run ended that did not come to its end; nothing where its end was not noted."""
    if not files.end:
        return ""
    words = {"failed": "It failed", "stopped": "It was stopped", "preempted": "A cluster stopped it"}[files.end["how"]]
    hint = files.end["hint"] or f"go on with: {how_to_go_on(files.path)}"
    return f"{words} ({files.end['at']}): {files.end['message']}. What to do: {hint}."


def has_trained(files: RunFiles, stage: Stage) -> bool:
    """Return whether a stage's training came to its end, which may be an early one."""
    return bool(files.best.get(stage.name, {}).get("finished"))


def early_end(files: RunFiles, stage: Stage) -> str:
    """Return how a stage's training was stopped early; nothing where it went through all its steps, or is not over."""
    rows = [row for row in files.metrics if row["stage"] == stage.name]
    stopping = stage.train.early_stopping
    if stopping is None or not rows or not has_trained(files, stage):
        return ""
    planned = rows[-1].get("planned_steps")  # a run of an earlier version does not say it
    return stopping.told(rows[-1]["step"], planned) if planned and rows[-1]["step"] < planned else ""


def _steps(files: RunFiles, answered: Answered) -> Iterator[Step]:
    sets = files.data.get("sets", {})
    detail = ", ".join(f"{name}: {count(content['examples'])}" for name, content in sets.items() if content)
    yield Step("Read the data", "done" if sets else "not yet", detail)
    yield from (_evaluation(files, answered, "before", task) for task in files.recipe.evaluate)
    yield from (_training(files, stage) for stage in files.recipe.each_stage())
    yield from (_evaluation(files, answered, "after", task) for task in files.recipe.evaluate)
    yield from (_evaluation(files, answered, "blind", task) for task in files.recipe.evaluate)
    yield Step("Verdict", "done" if is_finished(files) else "not yet", "")


def _evaluation(files: RunFiles, answered: Answered, predictor: str, task: Task) -> Step:
    words = {"before": "Measure before", "after": "Measure after", "blind": "Measure with the question alone"}
    given = answered[task.name].get(predictor, 0)
    expected = _examples_of(files, task)
    name = f"{words[predictor]}: {task.name}"
    if not given:
        return Step(name, "not yet", "")
    if expected is None:
        return Step(name, "partly", f"{count(given)} questions answered")
    state: State = "done" if given >= expected else "partly"
    return Step(name, state, f"{count(given)} of {count(expected)} questions answered")


def _examples_of(files: RunFiles, task: Task) -> int | None:
    """Return how many examples a task has, or None where data.json does not say."""
    sets = files.data.get("sets", {})
    content = sets.get(f"task:{task.name}")
    if not content and isinstance(task, SetTask):
        content = sets.get(task.from_)
    if not content:
        return None
    examples: int = content.get("by_role", {}).get("train", content["examples"])
    return examples if task.max_samples is None else min(examples, task.max_samples)


def _training(files: RunFiles, stage: Stage) -> Step:
    rows = [row for row in files.metrics if row["stage"] == stage.name]
    name = f"Train: {stage.name}"
    if not rows:
        return Step(name, "not yet", "")
    train, last = stage.train, rows[-1]
    if train.max_steps:
        where = f"step {count(last['step'])} of {count(train.max_steps)}, epoch {last['epoch']:.2f}"
    else:
        where = f"step {count(last['step'])}, epoch {last['epoch']:.2f} of {train.num_train_epochs:g}"
    state: State = "done" if has_trained(files, stage) else "partly"
    return Step(name, state, f"{where}; {last['kind']} loss {loss(last['loss'])}")
