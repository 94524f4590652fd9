"""What can be compared: the records of a run, of an evaluation, of a captioner, or of a predictions file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finesight.errors import UserError
from finesight.evaluate.predictions import read_predictions
from finesight.recipe.captioners import CaptionersRecipe
from finesight.rundir import MEASURED, RunDir
from finesight.schema import Record

AFTER = "after"
_FORM = "name a run folder, one of its predictors as RUN@before or RUN@blind, or a predictions file (.jsonl)"


@dataclass(frozen=True)
class Contender:
    """Somebody's answers: to the tasks of a folder, or those of one file."""

    name: str
    """As tables show it: unlike those of the others."""
    run: RunDir | None
    """None for a predictions file, whose records answer whatever task they are compared on."""
    predictor: str
    path: Path

    @property
    def metrics(self) -> dict[str, str]:
        """The metric of each task that was answered, as the folder's recipe has it; empty for a file."""
        if self.run is None:
            return {}
        return {
            task.name: task.metric
            for task in self.run.tasks
            if self.run.records_file(self.predictor, task.name).exists()
        }

    def records(self, task: str) -> list[Record]:
        """Return the answers to a task."""
        return read_predictions(self.path) if self.run is None else self.run.records(self.predictor, task)


def open_contenders(typed: Sequence[str]) -> list[Contender]:
    """Return what was named: `RUN` for a run's tuned model, `RUN@PREDICTOR` for what else it holds, or a file.

    Raises `UserError` for what is neither, for a rehearsal, for fewer than two, and for one named twice.
    """
    if len(typed) < 2:
        raise UserError("there is nothing to compare it with", hint="name two or more runs or predictions files")
    if twice := next((one for place, one in enumerate(typed) if one in typed[:place]), None):
        raise UserError(f"{twice}: named twice", hint=_FORM)
    short = [one.rstrip("/").rsplit("/", 1)[-1] for one in typed]
    names = [one if short.count(name) > 1 else name for one, name in zip(typed, short, strict=True)]
    contenders = [open_contender(one, name, Path()) for one, name in zip(typed, names, strict=True)]
    _require_different(typed, contenders)
    return contenders


def _require_different(typed: Sequence[str], contenders: Sequence[Contender]) -> None:
    """Raise `UserError` where the same answers are named in two ways."""
    seen: dict[tuple[Path, str], str] = {}
    for one, contender in zip(typed, contenders, strict=True):
        earlier = seen.setdefault((contender.path.resolve(), contender.predictor), one)
        if earlier != one:
            raise UserError(f"{earlier} and {one}: the same answers by two names", hint=_FORM)


def open_contender(typed: str, name: str, base: Path) -> Contender:
    """Return the contender that is meant, as `name`; paths start from `base`.

    Raises `UserError` for what is not there, for a rehearsal, and for a folder without answers of that predictor.
    """
    folder, _, predictor = typed.partition("@") if not (base / typed).exists() else (typed, "", "")
    path = base / folder
    if path.is_dir():
        run = RunDir.existing(path)
        if run.is_rehearsal:
            raise UserError(f"{run.path}: a rehearsal, whose figures mean nothing", hint="compare runs")
        chosen = predictor or (MEASURED if run.is_evaluation else AFTER)
        held = sorted(file.parent.name for file in (path / "evaluation").glob("*/*.jsonl"))
        if chosen not in held:
            has = ", ".join(dict.fromkeys(held)) or "no answers yet"
            if not predictor and held and isinstance(run.asked, CaptionersRecipe):
                raise UserError(
                    f"{typed}: whose answers?", hint=f"name one, as {typed}@{run.asked.names[0]}; it has {has}"
                )
            raise UserError(f"{typed}: there are no answers of {chosen}", hint=f"{path} has {has}")
        return Contender(name, run, chosen, path)
    if predictor or not path.exists():
        raise UserError(f"{typed}: not found", hint=_FORM)
    return Contender(name, None, "", path)
