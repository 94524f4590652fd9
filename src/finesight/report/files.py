"""A run folder's files, read once for the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight.errors import UserError
from finesight.recipe.recipe import Recipe
from finesight.rundir import END, RECIPE_FILE, REHEARSAL, RunDir, damaged
from finesight.schema import Record

Content = Mapping[str, Any]


@dataclass(frozen=True)
class RunFiles:
    """What a run folder says so far. What the run has not come to yet is empty."""

    path: Path
    recipe: Recipe
    recipe_text: str
    environment: Content
    data: Content
    parameters: Content
    checks: Content
    verdict: Content
    end: Content
    """How the run ended, where it did not come to its end."""
    rehearsal: Content
    """What stood in for what, where the run was a rehearsal."""
    metrics: tuple[Content, ...]
    """The lines of metrics.jsonl that hold losses."""
    incidents: tuple[Content, ...]
    """Those that say what guards saw."""
    best: Mapping[str, Content]
    """For each stage that has chosen a checkpoint, its best.json."""
    records: Mapping[str, Mapping[str, tuple[Record, ...]]]
    """Records by task and predictor."""

    @property
    def judged_tasks(self) -> tuple[Content, ...]:
        """The tasks of verdict.json, those that the verdict is on first."""
        tasks = self.verdict.get("tasks", [])
        return tuple(sorted(tasks, key=lambda task: task["role"] != "held_out"))

    def metrics_of(self, stage: str, kind: str) -> tuple[Content, ...]:
        """Return the lines of metrics.jsonl of one stage and kind (`train` or `validation`)."""
        return tuple(row for row in self.metrics if row["stage"] == stage and row["kind"] == kind)


def read_files(run: RunDir, *, with_records: bool = True) -> RunFiles:
    """Return the files of a run folder. Raises `UserError` when one of them is damaged.

    The records of a large task take seconds to read: a view that is drawn again and again leaves them out.
    """
    loaded = {}
    for name in ("environment", "data", "parameters", "checks", "verdict", END, REHEARSAL):
        with _blaming(run.path / f"{name}.json"):
            loaded[name] = run.load(name)
    with _blaming(run.path / "metrics.jsonl"):
        lines = run.metrics()
        incidents = tuple(line for line in lines if line["kind"] == "guard")
        metrics = tuple(line for line in lines if line["kind"] != "guard")
    return RunFiles(
        path=run.path,
        recipe=run.recipe,
        recipe_text=(run.path / RECIPE_FILE).read_text(encoding="utf-8"),
        metrics=metrics,
        incidents=incidents,
        best=_read_best(run),
        records={task.name: _read_records(run, task.name) for task in run.recipe.evaluate} if with_records else {},
        **loaded,
    )


def _read_best(run: RunDir) -> dict[str, Content]:
    best: dict[str, Content] = {}
    for stage in run.recipe.each_stage():
        path = run.checkpoints(stage.name) / "best.json"
        if path.exists():
            with _blaming(path, written_anew_by=run.path):
                best[stage.name] = json.loads(path.read_text(encoding="utf-8"))
    return best


def _read_records(run: RunDir, task: str) -> dict[str, tuple[Record, ...]]:
    records = {}
    for predictor in run.predictors(task):
        with _blaming(run.records_file(predictor, task)):
            records[predictor] = tuple(run.records(predictor, task))
    return records


@contextmanager
def _blaming(path: Path, written_anew_by: Path | None = None) -> Iterator[None]:
    """Turn what a damaged file causes into an error that names the file."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise damaged(path, fault, written_anew_by) from fault
    except KeyError as fault:
        raise UserError(
            f"{path}: a line lacks the field {fault}",
            hint="docs/run-folder.md lists the fields of each file",
        ) from fault
