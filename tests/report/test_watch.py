"""What `finesight watch` shows of a run, wherever it is: the folder alone says it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from run_folder import write_run
from typer.testing import CliRunner

from finesight.cli.main import build
from finesight.cli.watching import follow
from finesight.ending import describe_end, noting_its_end
from finesight.errors import DataError, FinesightError, Interrupted, Preempted, UserError
from finesight.report.watch.snapshot import Snapshot, take_snapshot
from finesight.report.watch.view import blocks, duration, view
from finesight.rundir import RunDir

HOLD = """
import sys, time
from pathlib import Path
from finesight.run_lock import held_alone
with held_alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def shown(snapshot: Snapshot, width: int = 80) -> str:
    """Return the view as a terminal of that width shows it."""
    stream = StringIO()
    Console(file=stream, width=width).print(view(snapshot), markup=False, highlight=False)
    return stream.getvalue()


@contextmanager
def held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process be at the run."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


# Where a run is.


def test_a_finished_run_shows_its_verdict(tmp_path: Path) -> None:
    snapshot = take_snapshot(write_run(tmp_path / "run").path)
    assert snapshot.state == "finished"
    assert all(step.state == "done" for step in snapshot.steps)
    text = shown(snapshot)
    assert "Verdict: better" in text
    assert "--resume" not in text
    assert "Learning rate" not in text, "how fast it went is not asked any more"


def test_a_run_with_a_process_at_it_is_running(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="training")
    with held_by_another(run.path) as process:
        snapshot = take_snapshot(run.path)
        assert snapshot.state == "running"
        assert snapshot.words.startswith(f"process {process.pid} on ")
        assert not snapshot.hint
    assert take_snapshot(run.path).state == "gone"
    assert "has ended without a word: killed" in take_snapshot(run.path).words


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (Interrupted("stopped at step 60 of 150", hint="go on with: it"), "stopped", "stopped at step 60 of 150"),
        (Preempted("stopped at step 60 of 150"), "preempted", "stopped at step 60 of 150"),
        (DataError("7.png cannot be decoded", hint="mend it"), "failed", "7.png cannot be decoded"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "failed", "RuntimeError: CUDA out of memory."),
        (KeyboardInterrupt(), "stopped", "KeyboardInterrupt"),
    ],
)
def test_a_run_says_how_it_ended(error: BaseException, state: str, words: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="training")
    with pytest.raises(type(error)), noting_its_end(run):
        raise error
    snapshot = take_snapshot(run.path)
    assert snapshot.state == state
    assert snapshot.words.startswith(f"{words} (20")
    told = error.hint if isinstance(error, FinesightError) else ""
    by_itself = "a job of `finesight launch --slurm` goes on by itself; any other run does not: "
    going_on = told or f"go on with: finesight run --resume {run.path}"
    assert snapshot.hint == by_itself * (state == "preempted") + going_on


def test_a_run_that_goes_on_forgets_its_end_and_one_that_is_refused_does_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="training")
    run.note_end(describe_end(Interrupted("the first")))
    with pytest.raises(DataError), noting_its_end(run):
        raise DataError("the data are others")
    assert run.load("end")["message"] == "the first"
    with noting_its_end(run):
        run.begin({})
    for message in ("a loss", "the data are others"):
        with pytest.raises(DataError), noting_its_end(run):
            raise DataError(message)
        assert take_snapshot(run.path).words.startswith(f"{message} (")
    with noting_its_end(run):
        run.begin({})
    assert not run.load("end")


def test_a_run_that_has_not_begun_leaves_no_end(tmp_path: Path) -> None:
    run = RunDir.new(write_run(tmp_path / "other").recipe, tmp_path / "run", tmp_path)
    with pytest.raises(DataError), noting_its_end(run):
        raise DataError("no such file")
    assert not run.path.exists()


def test_a_run_not_yet_begun_is_waited_for(tmp_path: Path) -> None:
    snapshot = take_snapshot(tmp_path / "run")
    assert (snapshot.state, snapshot.words) == ("not begun", "there is no run yet")
    with held_by_another(tmp_path / "run"):
        assert take_snapshot(tmp_path / "run").words.endswith("is reading data and model")


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="not a run folder"):
        take_snapshot(tmp_path)
    with pytest.raises(UserError, match=r"notes.txt: not a run folder"):
        take_snapshot(tmp_path / "notes.txt")


def test_an_evaluation_names_its_scores_once_it_has_any(tmp_path: Path) -> None:
    run = write_run(tmp_path / "an evaluation", until="data")
    run.append_records("model", "held_out", write_run(tmp_path / "run").records("before", "held_out"))
    with pytest.raises(UserError, match="not a run") as unfinished:
        take_snapshot(run.path)
    assert f"--reuse '{run.path}'" in unfinished.value.hint and "scores.json" not in unfinished.value.hint
    run.save("scores", {})
    with pytest.raises(UserError, match="not a run") as finished:
        take_snapshot(run.path)
    assert finished.value.hint == f"its scores are in {run.path / 'scores.json'}"


@pytest.mark.parametrize("until", ["recipe", "data", "before"])
def test_a_run_before_its_training_shows_how_far_it_came(until: Any, tmp_path: Path) -> None:
    snapshot = take_snapshot(write_run(tmp_path / "run", until=until).path)
    assert snapshot.training is None
    done = [step.name for step in snapshot.steps if step.state == "done"]
    expected = {"recipe": [], "data": ["Read the data"]}
    assert done == expected.get(until, ["Read the data", "Measure before: held_out", "Measure before: general"])


def test_answers_are_counted_without_being_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="before")
    file = run.records_file("before", "held_out")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:50]) + b'{"torn')
    (step,) = (step for step in take_snapshot(run.path).steps if step.name == "Measure before: general")
    assert step.state == "done"
    (step,) = (step for step in take_snapshot(run.path).steps if step.name == "Measure before: held_out")
    assert step.detail == "50 of 120 questions answered"


# The verb.


def test_the_verb_shows_a_run_once_without_a_terminal(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="training")
    for options in ([], ["--once"]):
        ended = CliRunner().invoke(build(), ["watch", str(run.path), *options])
        assert ended.exit_code == 0
        assert ended.stdout.startswith("coloured-shapes")
    told = json.loads(CliRunner().invoke(build(), ["watch", str(run.path), "--once", "--json"]).stdout)
    assert (told["name"], told["state"], told["training"]["step"]) == ("coloured-shapes", "gone", 60)


def test_following_ends_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", until="training")
    with held_by_another(run.path) as process:
        timer = threading.Timer(0.5, process.kill)
        timer.start()
        assert follow(run.path, 0.05).state == "gone"
        timer.join()
    assert "has ended without a word" in capsys.readouterr().out


# How training goes.


def line(step: int, seconds: float, kind: str = "train", **others: Any) -> dict[str, Any]:
    row = {
        "kind": kind, "stage": "tune", "step": step, "planned_steps": 100, "epoch": step / 50, "loss": 2 - step / 100,
        "loss_by_source": {}, "loss_by_role": {"train": 2 - step / 100, "replay": 9.0}, "learned_tokens": 40,
        "seconds": seconds,
    }  # fmt: skip
    if kind == "train":
        row |= {"tokens": 9000, "examples": 160, "learning_rate": {"language": 2e-4, "projector": 1e-3},
                "grad_norm": 1.25, "peak_memory_gib": 11.5}  # fmt: skip
    else:
        row["scores"] = {"watched": 0.4}
    return row | others


@pytest.fixture
def trained(tmp_path: Path) -> RunDir:
    """A run at step 40 of 100: twenty seconds of warming up, ten steps in ten seconds, a validation of five."""
    run = write_run(tmp_path / "run", until="before")
    for row in (line(10, 20), line(20, 30), line(30, 40), line(30, 45, "validation"), line(40, 55)):
        run.append_metrics(row)
    return run


def test_speed_leaves_validations_out_and_the_time_left_does_not(trained: RunDir) -> None:
    training = take_snapshot(trained.path).training
    assert training is not None
    assert training.questions_per_second == pytest.approx(4 * 160 / (20 + 10 + 10 + 10))
    assert training.tokens_per_second == pytest.approx(4 * 9000 / 50)
    assert training.seconds_left == pytest.approx((55 - 20) / 30 * 60)
    assert (training.step, training.planned_steps, training.seconds) == (40, 100, 55)
    assert training.validation_losses == ((30, pytest.approx(1.7)),)


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_fits_the_terminal_and_says_all(trained: RunDir, width: int) -> None:
    write_best(trained, finished=False)
    note_guard(trained, 41, stage="tune", action="skip", message="the loss is nan")
    with held_by_another(trained.path):
        text = shown(take_snapshot(trained.path), width)
    assert all(len(row) <= width for row in text.splitlines())
    for words in (
        "running: process ",
        "120 of 120 questions answered",
        "step 40 of 100, epoch 0.80",
        "1.600  █▆▃▁",
        "1.700  ▁",
        "0.400 at the last validation",
        "eval_loss 1.7000, at step 30",
        "language 0.0002, projector 0.001",
        "12.8 questions, 720 tokens a second",
        "11.50 GiB at most",
        "55 s, 1 min 10 s left",
        "Left out: step 41: the loss is nan",
    ):
        assert words in text, words


def test_a_stage_that_stopped_early_has_no_time_left(trained: RunDir) -> None:
    write_best(trained, finished=False)
    going_on = take_snapshot(trained.path)
    write_best(trained, finished=True)
    over = take_snapshot(trained.path)
    assert going_on.training is not None and over.training is not None
    assert (going_on.training.seconds_left, over.training.seconds_left) == (pytest.approx(70), None)
    assert ("━" in shown(going_on), "━" in shown(over)) == (True, False)


def test_the_bar_has_a_line_of_its_own_with_its_share(trained: RunDir) -> None:
    for step, share in ((40, "40%"), (100, "100%")):
        trained.append_metrics(line(step, 120))
        (bar,) = (row for row in shown(take_snapshot(trained.path)).splitlines() if "━" in row)
        assert set(bar.split()[0]) <= {"━", "╸"}
        assert bar.split()[1:] == [share], "without colour nothing else shows where it ends"


def test_what_guards_met_names_its_stage_where_there_are_several(trained: RunDir) -> None:
    for step in range(41, 48):
        note_guard(trained, step, stage="tune", action="note", message=f"number {step}")
    text = shown(take_snapshot(trained.path))
    assert "2 more before" in text
    assert "number 42" not in text
    assert "Noted at step 43: number 43\n" in text
    note_guard(trained, 3, stage="joint", action="stop", message="the loss is nan")
    text = shown(take_snapshot(trained.path))
    assert "Noted at step 47 of tune: number 47\n" in text
    assert "Stopped at step 3 of joint: the loss is nan\n" in text


def note_guard(run: RunDir, step: int, **told: str) -> None:
    run.append_metrics({"kind": "guard", "step": step, "what": "loss", **told})


def write_best(run: RunDir, *, finished: bool) -> None:
    best = run.checkpoints("tune") / "best.json"
    best.parent.mkdir(parents=True, exist_ok=True)
    chosen = {"checkpoint": "checkpoint-30", "step": 30, "metric": "eval_loss", "score": 1.7, "finished": finished}
    best.write_text(json.dumps(chosen), encoding="utf-8")


def test_a_loss_that_is_no_number_is_shown(trained: RunDir) -> None:
    trained.append_metrics(line(50, 65, loss=math.nan, grad_norm=math.nan))
    snapshot = take_snapshot(trained.path)
    assert "nan" in shown(snapshot)
    assert "×" in shown(snapshot)


def test_json_has_the_last_losses(trained: RunDir) -> None:
    content = json.loads(json.dumps(take_snapshot(trained.path).to_json()))
    assert content["state"] == "gone"
    assert content["training"]["loss"] == pytest.approx(1.6)
    assert content["training"]["validation_loss"] == pytest.approx(1.7)
    assert content["path"] == str(trained.path)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 5, ""),
        ([1.0], 5, "▁"),
        ([1.0, 1.0], 5, "▁▁"),
        ([0.0, 7.0], 5, "▁█"),
        ([0.0, math.inf, 7.0], 5, "▁×█"),
        ([math.nan], 5, "×"),
        ([float(value) for value in range(100)], 4, "▁▃▆█"),
    ],
)
def test_blocks(values: list[float], width: int, drawn: str) -> None:
    assert blocks(values, width) == drawn


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (190, "3 min 10 s"), (7500, "2 h 05 min"),
        (90000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
