"""A run as its folder shows it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from finesight.errors import UserError
from finesight.report.files import Content, RunFiles, read_files
from finesight.report.progress import Answered, Step, is_finished, steps
from finesight.report.watch.training import Training, describe_training
from finesight.run_lock import LOCK_FILE, Holder, who_holds
from finesight.rundir import RunDir, how_to_go_on

State = Literal["not begun", "running", "preempted", "stopped", "failed", "gone", "finished"]
"""`preempted`: a cluster asked it to make way, and it waits to be resumed. `gone`: its process ended without a word."""
LASTING: tuple[State, ...] = ("stopped", "failed", "gone", "finished")
"""States in which nothing more comes by itself."""

_ENDS: Mapping[str, State] = {"preempted": "preempted", "stopped": "stopped", "failed": "failed"}


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment."""

    path: Path
    name: str
    state: State
    words: str
    """Why it is in that state, or what is at it."""
    hint: str
    is_rehearsal: bool = False
    steps: tuple[Step, ...] = ()
    training: Training | None = None
    guards: tuple[Content, ...] = ()
    """Lines of metrics.jsonl of what a guard has met."""
    verdict: Content | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        training = self.training.to_json() if self.training else None
        return {**asdict(self), "path": str(self.path), "training": training}


def take_snapshot(path: Path) -> Snapshot:
    """Return the run in a folder as it is now; nothing is changed, and nothing but the folder is read.

    Raises `UserError` when something else than a run is there, or a file of it is damaged.
    """
    if not RunDir.is_at(path):
        return _not_begun(path)
    run = RunDir.existing(path)
    if run.is_evaluation:
        raise UserError(f"{path}: an evaluation, not a run", hint=run.how_compared)
    # Before the files: a run that ends between the two has then written its last ones.
    holder, was_killed = who_holds(path), (path / LOCK_FILE).exists()
    files = read_files(run, with_records=False)
    state, words, hint = _state(files, holder, was_killed=was_killed)
    return Snapshot(
        path=path,
        name=run.recipe.name,
        state=state,
        words=words,
        hint=hint,
        is_rehearsal=run.is_rehearsal,
        steps=steps(files, count_answers(run)),
        training=describe_training(files),
        guards=files.incidents,
        verdict=files.verdict or None,
    )


def count_answers(run: RunDir) -> Answered:
    """Return how many records of each task and predictor there are, without reading them."""
    return {
        task.name: {
            predictor: _complete_lines(run.records_file(predictor, task.name))
            for predictor in run.predictors(task.name)
        }
        for task in run.recipe.evaluate
    }


def _complete_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _not_begun(path: Path) -> Snapshot:
    if path.exists() and not path.is_dir():
        RunDir.existing(path)  # says that it is none
    holder = who_holds(path)
    is_empty = not path.exists() or (path.is_dir() and all(file.name == LOCK_FILE for file in path.iterdir()))
    if holder is None and not is_empty:
        RunDir.existing(path)  # says what it lacks
    words = f"{holder}, is reading data and model" if holder else "there is no run yet"
    return Snapshot(path, path.name, "not begun", words, hint="")


def _state(files: RunFiles, holder: Holder | None, *, was_killed: bool) -> tuple[State, str, str]:
    if holder is not None:
        return "running", str(holder), ""
    go_on = f"go on with: {how_to_go_on(files.path)}"
    if is_finished(files):
        return "finished", "", ""
    if files.end:
        state, hint = _ENDS[files.end["how"]], files.end["hint"] or go_on
        if state == "preempted":
            hint = f"a job of `finesight launch --slurm` goes on by itself; any other run does not: {hint}"
        return state, f"{files.end['message']} ({files.end['at']})", hint
    if was_killed:
        return "gone", "its process has ended without a word: killed, perhaps for memory", go_on
    return "gone", "no process is at it", go_on
