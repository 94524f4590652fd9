"""The page tells what guards saw, grave things first, and what happened often only once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from page_reader import read
from rich.console import Console
from run_folder import Until, write_run

from finesight.report.advice import advise
from finesight.report.files import read_files
from finesight.report.page import write_report
from finesight.report.watch.snapshot import take_snapshot
from finesight.report.watch.view import view
from finesight.rundir import RunDir


def note(run: RunDir, step: int, **incident: Any) -> None:
    line = {"kind": "guard", "stage": "tune", "step": step, "epoch": 0.1, "seconds": 1.0}
    run.append_metrics({**line, **incident})


def test_what_guards_saw_is_told_with_its_causes_and_batches(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    spike = {"what": "gradient spike", "action": "note", "message": "the norm is 9, 12 times the usual"}
    for step in range(1, 8):
        note(run, step, **spike, causes=["questions unlike the others"])
    left_out = {"what": "loss", "action": "skip", "message": "the loss is nan <b>", "causes": ["the data", "padding"]}
    note(run, 1200, **left_out, batch="guards/tune-step-1200")
    page = read(write_report(run))
    assert "tune, steps 1, 2, 3, 4, 5 and 2 more: gradient spike, noted. the norm is 9, 12 times" in page.text
    assert "tune, step 1,200: loss, the step was left out. the loss is nan <b>." in page.text
    assert "Likely: the data. Or: padding." in page.text
    assert "guards/tune-step-1200/batch.json" in page.text
    assert page.text.index("the step was left out") < page.text.index("noted")


@pytest.mark.parametrize("until", ["before", "training", "verdict"])
def test_every_reader_bears_what_guards_wrote_wherever_it_stands(until: Until, tmp_path: Path) -> None:
    """A line of a guard has no loss; it may be the first of all, the last, and the only one."""
    run = write_run(tmp_path / "run", until=until)
    lines = run.metrics()
    incident = {"what": "loss", "action": "skip", "message": "the loss is nan", "causes": ["the data"]}
    (run.path / "metrics.jsonl").unlink(missing_ok=True)
    note(run, 1, **incident)
    for line in lines:
        run.append_metrics(line)
        note(run, line["step"] + 1, **incident)
    note(run, 10_000, **{**incident, "action": "stop"})

    files = read_files(run)
    assert len(files.incidents) == len(lines) + 2
    assert list(files.metrics) == lines
    assert not any("not a number" in sentence for sentence in advise(files))
    page = read(write_report(run))
    assert "the training was stopped" in page.text
    snapshot = take_snapshot(run.path)
    assert next(step.detail for step in snapshot.steps if step.name == "Train: tune").startswith("step") == bool(lines)
    with (tmp_path / "view").open("w", encoding="utf-8") as file:
        Console(file=file, width=100).print(view(snapshot))
    assert "Stopped at step 10,000" in (tmp_path / "view").read_text("utf-8")


def test_a_line_whose_steps_were_all_left_out_is_no_reason_for_another_learning_rate(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (line, *_) = (row for row in run.metrics() if row["kind"] == "train")
    run.append_metrics({**line, "loss": math.nan, "learned_tokens": 0})
    assert not any("not a number" in sentence for sentence in advise(read_files(run)))
    run.append_metrics({**line, "loss": math.nan})
    assert any("not a number" in sentence for sentence in advise(read_files(run)))
    write_report(run)


def test_a_run_without_incidents_says_nothing_of_them(tmp_path: Path) -> None:
    assert "What went wrong while training" not in read(write_report(write_run(tmp_path / "run"))).text
