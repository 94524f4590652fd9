"""Ctrl-C and worse: what was finished is readable, and a resumed run ends as one that nobody stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from separate_runs import FEW_TOKENS, LONGER, StartRun, wait_until
from small_runs import Finesight, WriteRecipe, contents, losses, read_json_lines, scores, whole

from finesight.rundir import RunDir, read_lines
from finesight.runtime import StopRequest


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run, undisturbed."""
    return whole(tmp_path_factory.mktemp("reference"), {})


def test_a_run_stopped_three_times_ends_as_one_that_nobody_stopped(
    finesight: Finesight, write_recipe: WriteRecipe, start_run: StartRun, tmp_path: Path, longer_undisturbed: Path
) -> None:
    run, undisturbed = tmp_path / "a run", longer_undisturbed

    def stop_at(file: Path, lines: int, number: signal.Signals, *arguments: object) -> tuple[int | None, str]:
        """Start a run, send it a signal once `file` has so many lines; return exit code and what it said."""
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        process = start_run(log, *arguments, "--max-tokens-per-device", FEW_TOKENS)
        assert wait_until(lambda: file.exists() and file.read_bytes().count(b"\n") >= lines, process), log.read_text()
        os.kill(process.pid, number)
        process.join(60)
        return process.exitcode, log.read_text(encoding="utf-8")

    resume = f"go on with: finesight run --resume '{run}'\n"
    answers, metrics = run / "evaluation/before/held_out.jsonl", run / "metrics.jsonl"

    code, told = stop_at(answers, 8, signal.SIGINT, write_recipe(**LONGER), "--output", run)
    assert (code, resume in told, "Traceback" in told) == (130, True, False), told
    answered = read_json_lines(answers)
    questions = scores(undisturbed)[0]["examples"]
    assert 8 <= len(answered) < questions
    assert not metrics.exists()
    page = finesight("report", run)
    assert page.code == 0
    assert f"{len(answered)} of {questions} questions answered" in Path(page.last_line()).read_text(encoding="utf-8")

    code, told = stop_at(metrics, 6, signal.SIGINT, "--resume", run)
    assert (code, resume in told, "Traceback" in told) == (130, True, False), told
    assert "stopped at step " in told
    assert read_json_lines(answers)[: len(answered)] == answered
    done = losses(run)
    assert done == losses(undisturbed)[: len(done)]
    page = finesight("report", run)
    assert "Train: tune" in Path(page.last_line()).read_text(encoding="utf-8")

    code, told = stop_at(metrics, len(done) + 10, signal.SIGKILL, "--resume", run)
    assert code == -signal.SIGKILL
    assert f"going on from step {done[-1][2]} of 30" in told
    assert len(list(read_lines(metrics))) >= len(done) + 10
    assert finesight("report", run).code == 0

    ended = finesight("run", "--resume", run, "--max-tokens-per-device", FEW_TOKENS)
    assert ended.code == 0, ended.stderr
    assert ended.last_line() == str(run)
    assert losses(run) == losses(undisturbed)
    assert scores(run) == scores(undisturbed)
    assert losses(run)[-1][3] < losses(run)[0][3] - 0.1, "nothing was learned, so equal losses say little"
    identities = [record["id"] for record in read_json_lines(answers)]
    assert len(identities) == len(set(identities)) == questions


@pytest.fixture
def stopped_run(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> Callable[..., Path]:
    """Begins a small run, or goes on with it, stops it by Ctrl-C when metrics.jsonl has so many lines; its folder."""

    def stop(lines: int, **sections: Any) -> Path:
        real, run = RunDir.append_metrics, tmp_path / "run"
        arguments = ("--resume", run) if run.exists() else (write_recipe(**sections), "--output", run)

        def counted(self: RunDir, row: dict[str, Any]) -> None:
            real(self, row)
            if len(self.metrics()) == lines:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunDir, "append_metrics", counted)
            ended = finesight("run", *arguments)
        assert ended.code == 130, ended.stderr
        return run

    return stop


def resume(finesight: Finesight, run: Path) -> str:
    ended = finesight("run", "--resume", run)
    assert ended.code == 0, ended.stderr
    return ended.stderr


def test_wherever_training_stops_it_goes_on_the_same(
    stopped_run: Callable[..., Path], finesight: Finesight, reference: Path
) -> None:
    whole_run = losses(reference)
    assert [whole_run[line - 1][1:3] for line in (2, 5, 14, 15)] == [
        ("train", 2), ("validation", 4), ("train", 12), ("validation", 12),
    ]  # fmt: skip
    for lines in (2, 5, 14, 15):
        run = stopped_run(lines)
        assert losses(run) == whole_run[: len(losses(run))]
    resume(finesight, run)
    assert losses(run) == losses(reference)
    assert scores(run) == scores(reference)


def test_a_stage_that_a_resumed_run_begins_begins_as_it_would_have(
    stopped_run: Callable[..., Path], finesight: Finesight, tmp_path: Path
) -> None:
    train = {"max_steps": 3, "global_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 3}
    adapters = {"vision": "full", "language": {"method": "lora", "r": 3, "lora_dropout": 0.2}}
    sections = {
        "tune": None,
        "train": None,
        "stages": [
            {"name": "warm", "tune": {"projector": "full"}, "train": train},
            {"name": "joint", "tune": adapters, "train": train},
        ],
    }
    run = stopped_run(2, **sections)
    resume(finesight, run)
    (tmp_path / "whole").mkdir()
    assert losses(run) == losses(whole(tmp_path / "whole", sections))


def test_steps_between_two_log_lines_are_not_lost(stopped_run: Callable[..., Path], finesight: Finesight) -> None:
    train = {"max_steps": 12, "global_batch_size": 8, "logging_steps": 5, "eval_steps": 6, "save_steps": 4}
    run = stopped_run(3, train=train)
    resume(finesight, run)
    rows = [row for row in read_json_lines(run / "metrics.jsonl") if row["kind"] == "train"]
    assert sum(row["examples"] for row in rows) == 12 * 8
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)


def test_killed_before_the_first_checkpoint_training_begins_anew(
    stopped_run: Callable[..., Path], finesight: Finesight, reference: Path
) -> None:
    run = stopped_run(2)
    shutil.rmtree(run / "checkpoints")
    assert len(losses(run)) == 3
    assert "going on" not in resume(finesight, run)
    assert losses(run) == losses(reference)


def test_a_best_checkpoint_that_was_not_noted_is_found_again(
    stopped_run: Callable[..., Path], finesight: Finesight, reference: Path
) -> None:
    run = stopped_run(6)
    (run / "checkpoints/tune/best.json").unlink()
    resume(finesight, run)
    assert best(run) == best(reference)


def best(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "checkpoints/tune/best.json").read_text(encoding="utf-8"))
    return content


def test_a_finished_run_is_only_judged_anew(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert finesight("run", write_recipe(), "--output", run).code == 0
    before = contents(run)
    for name in ("verdict.json", "report.html"):
        (run / name).unlink()
    resume(finesight, run)
    assert contents(run) == before


def early(patience_steps: int, min_delta: float) -> dict[str, Any]:
    return {
        "max_steps": 40,
        "global_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "eval_steps": 3,
        "save_steps": 100,
        "early_stopping": {"patience_steps": patience_steps, "min_delta": min_delta},
    }


def test_patience_is_counted_in_steps_and_survives_a_stop(
    stopped_run: Callable[..., Path], finesight: Finesight, tmp_path: Path
) -> None:
    # No improvement is ever large enough: the first validation, at step 3, stays the last that counts.
    run = stopped_run(9, train=early(8, 100.0))
    assert losses(run)[-1][2] == 8
    told = resume(finesight, run)
    assert losses(run)[-1][2] == 12
    sentence = "tune: stopped early at step 12 of 40: no improvement of eval_loss of more than 100 in 8 steps"
    assert sentence in told
    assert "tune: stopped early at" in (run / "report.html").read_text("utf-8")
    (tmp_path / "whole").mkdir()
    unstopped = whole(tmp_path / "whole", {"train": early(8, 100.0)})
    assert losses(run) == losses(unstopped)
    assert best(run) == best(unstopped)
    assert best(run)["step"] == 12, "smaller improvements still choose the checkpoint"


def test_the_best_checkpoint_is_loaded_though_it_is_neither_the_last_nor_a_regular_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from finesight.models.loaded import Loaded
    from finesight.train import fit
    from finesight.train.losses import LossSums

    chosen = {}
    real = fit.validation_losses

    def rising_from_step_six(loaded: Loaded, *arguments: Any, **options: Any) -> LossSums:
        sums = real(loaded, *arguments, **options)
        chosen[len(chosen) + 1] = {name: value.clone() for name, value in loaded.model.state_dict().items()}
        factor = 1.0 if len(chosen) == 2 else 10.0 * len(chosen)
        return LossSums({key: value * factor for key, value in sums.sums.items()}, sums.tokens)

    loaded_at_end = {}
    real_finish = fit.finish

    def look(loaded: Loaded, folder: Path) -> Any:
        result = real_finish(loaded, folder)
        loaded_at_end.update(loaded.model.state_dict())
        return result

    monkeypatch.setattr(fit, "validation_losses", rising_from_step_six)
    monkeypatch.setattr(fit, "finish", look)
    run = whole(tmp_path, {"train": {**early(1000, 0.0), "max_steps": 15, "save_total_limit": 1}})
    assert best(run)["step"] == 6
    assert all(torch.equal(loaded_at_end[name], value) for name, value in chosen[2].items())
    assert any(not torch.equal(loaded_at_end[name], value) for name, value in chosen[5].items())
    assert (run / "checkpoints/tune/checkpoint-6/trainer_state.json").is_file()


def test_stopped_before_anything_was_written(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)  # the signal arrives in here

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finesight.checking.open_start", interrupt)
        ended = finesight("run", write_recipe(), "--output", tmp_path / "run")
    assert ended.code == 130
    assert ended.stderr.endswith("\nstopped before anything was written\n")
    assert not (tmp_path / "run").exists()


def test_the_second_ctrl_c_stops_at_once() -> None:
    with StopRequest() as stop, pytest.raises(KeyboardInterrupt):
        stop.listen()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
