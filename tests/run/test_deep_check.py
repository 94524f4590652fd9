"""Every run begins with the deep checks, and `finesight check --deep` gives the same."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_runs import Finesight, WriteRecipe, read_json_lines, whole

from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.train.checks import writing

DEEP = {
    "computing format of tune", "rows of tune", "first loss of tune", "gradients of tune", "ten steps of tune",
    "frozen weights of tune", "checkpoint of tune", "disk of tune", "trial of tune",
}  # fmt: skip


def test_check_deep_tries_what_check_only_looks_at(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe()
    shallow, deep = (
        {check["name"]: check["status"] for check in json.loads(finesight("check", recipe, "--json", *more).stdout)}
        for more in ((), ("--deep",))
    )
    assert deep.keys() - shallow.keys() == DEEP
    assert "failure" not in deep.values()
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"], "what was written is deleted"


def test_a_run_that_fails_its_deep_checks_leaves_no_folder(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "free_disk_bytes", lambda folder: 1000)
    ended = finesight("run", write_recipe(), "--output", tmp_path / "run")
    assert ended.code == 1
    assert "disk of tune: 3 checkpoints of" in ended.stderr
    assert "save_total_limit" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_says_what_it_tried_and_a_resumed_stage_is_not_tried_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from finesight.run import fine_tune

    run = RunDir.existing(whole(tmp_path, {}))
    assert "which are taken back" in capfd.readouterr().err
    checks = run.load("checks")
    assert {check["name"] for check in checks["stages"][0]["checks"]} >= DEEP
    fine_tune(run, max_tokens=8192, stop=StopRequest())
    assert "which are taken back" not in capfd.readouterr().err
    assert run.load("checks") == checks


def test_a_run_learns_the_same_with_a_trial_as_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With adapters and dropout, whose random numbers a trial could have used up."""
    lora = {"tune": {"projector": "full", "language": {"method": "lora", "r": 2, "lora_dropout": 0.2}}}
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()

    def lines(run: Path) -> list[dict[str, Any]]:
        timed = ("seconds", "peak_memory_gib")
        return [
            {name: row[name] for name in row if name not in timed} for row in read_json_lines(run / "metrics.jsonl")
        ]

    tried = lines(whole(tmp_path / "with", lora))
    monkeypatch.setattr("finesight.checking.preflight_stages", lambda *_, **__: {})
    assert lines(whole(tmp_path / "without", lora)) == tried


def test_a_run_says_what_its_checks_warn_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    evaluate = [{"name": "held_out", "from": "test", "max_new_tokens": 1}]
    run = RunDir.existing(whole(tmp_path, {"evaluate": evaluate}))
    told = capfd.readouterr().err
    found = [check for stage in run.load("checks")["stages"] for check in stage["checks"]]
    warned = [check for check in found if check["status"] == "warning"]
    assert any(check["name"] == "answers of held_out" for check in warned)
    for check in warned:
        assert told.count(f"warning: {check['name']}: {check['message']} (hint: {check['hint']})") == 1
    passed = sum(check["status"] == "pass" for check in found)
    assert f"checked: {passed} passed, {len(warned)} warning" in told
    assert "stand-ins" not in told


def test_a_rehearsal_counts_warnings_that_stand_ins_may_cause(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    ended = finesight("run", write_recipe(), "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert "in checks.json: the stand-ins may be why" in ended.stderr
    assert "warning: sizes" not in ended.stderr


def test_a_signal_takes_back_what_check_was_trying(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of writing a checkpoint, which may be large."""
    real = writing.save_trained

    def interrupted(loaded: Any, folder: Path) -> None:
        real(loaded, folder)
        assert any(folder.iterdir())
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(writing, "save_trained", interrupted)
    ended = finesight("check", write_recipe(), "--deep", "--output", tmp_path / "there")
    assert ended.code == 75
    assert "stopped at once" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
