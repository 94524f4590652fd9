"""Jobs in a real SLURM: warned, cancelled, in two processes; each ends as it should, and goes on where it should."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_slurm import PATIENCE_SECONDS, UNDER_WAY, Finesight, OwnSlurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(2 * PATIENCE_SECONDS)]
STEPS = 800
"""Seconds more of training than a warning takes to arrive."""
SMALL: dict[str, Any] = {
    "name": "small",
    "model": {
        "kind": "assembled",
        "vision": {
            "config": {
                "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 2, "image_size": 32, "patch_size": 16,
            }
        },
        "language": {
            "config": {
                "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 2, "vocab_size": 400, "max_position_embeddings": 256, "bos_token_id": 1,
                "eos_token_id": 2,
            }
        },
        "tokenizer": {"vocab_size": 400},
        "chat_template": "plain",
    },
    "data": {
        "train": [{"kind": "scenes", "scenes": 20, "questions_per_scene": 4, "image_size": 32}],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "tune": {"vision": "full", "projector": "full", "language": "full"},
    "train": {
        "max_steps": STEPS, "global_batch_size": 8, "learning_rate": 1e-5, "logging_steps": 10, "eval_steps": STEPS,
        "save_steps": STEPS,
    },
    "evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 6}],
}  # fmt: skip


def write_recipe(folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(copy.deepcopy(SMALL)), encoding="utf-8")
    return path


def submitted(done: subprocess.CompletedProcess[str]) -> tuple[str, Path, Path]:
    """Return number, run folder and log of the job that `launch --json` has submitted."""
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["job"], Path(told["run"]), Path(told["log"])


def wait_for(happened: Callable[[], bool], slurm: OwnSlurm, job: str, log: Path) -> None:
    """Wait for something that a job does; a job that has ended will not do it any more."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        told = log.read_text("utf-8") if log.exists() else "no log"
        assert slurm.job(job)["JobState"] in UNDER_WAY, told
        assert time.monotonic() < end, told
        time.sleep(0.05)


def train_steps(run: Path) -> list[int]:
    """Return the steps of which metrics.jsonl holds a whole line."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text("utf-8").splitlines(keepends=True) if metrics.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return [row["step"] for row in rows if row["kind"] == "train"]


def test_a_job_that_is_warned_saves_queues_again_and_finishes(
    slurm: OwnSlurm, finesight: Finesight, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path)
    job, run, log = submitted(
        finesight("launch", recipe, "--slurm", "--processes", 1, "--time", "30:00", "--output", "a run", "--json")
    )
    recipe.unlink()  # what was submitted is what runs
    wait_for(lambda: len(train_steps(run)) >= 3, slurm, job, log)
    # What SLURM does before a time limit, whose smallest unit is a minute.
    slurm.ask("scancel", "--signal=USR1", "--batch", job)
    ended = slurm.ended(job)
    told = log.read_text("utf-8")
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), told
    (stopped,) = [line for line in told.splitlines() if line.startswith("stopped at step ")]
    step = int(stopped.split()[3])
    assert 0 < step < STEPS
    assert f"tune: going on from step {step} of {STEPS}" in told
    assert train_steps(run) == sorted({1, *range(10, STEPS + 1, 10), step})
    assert (run / "report.html").is_file()


def test_two_processes_rehearse_in_a_folder_of_a_strange_name(
    slurm: OwnSlurm, finesight: Finesight, tmp_path: Path
) -> None:
    strange = 'it\'s 100% "mine" $(touch broken) #1 è 図'
    job, run, log = submitted(
        finesight("launch", write_recipe(tmp_path), "--slurm", "--gpus", 2, "--rehearse", "--output", strange, "--json")
    )
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "0"), log.read_text("utf-8")
    assert run.name == strange
    assert json.loads((run / "verdict.json").read_text("utf-8"))["headline"]["verdict"] == "rehearsal"
    assert ended["TresPerNode"].endswith("gpu:2")
    assert not (tmp_path / "broken").exists()


def stand_in(folder: Path, act: str) -> Path:
    """Return an environment in which Python does `act`, in bash, instead of a run."""
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").touch()
    (programs / "python").write_text(f"#!/bin/bash\n{act}\n", encoding="utf-8")
    (programs / "python").chmod(0o755)
    return folder / "venv"


def launch_stand_in(finesight: Finesight, folder: Path, act: str) -> tuple[str, Path, Path]:
    venv = stand_in(folder, act)
    recipe = write_recipe(folder)
    options = ("--slurm", "--processes", 1, "--no-check", "--venv", venv, "--output", "run", "--json")
    return submitted(finesight("launch", recipe, *options))


def test_a_job_that_is_cancelled_stays_so(slurm: OwnSlurm, finesight: Finesight, tmp_path: Path) -> None:
    job, _, log = launch_stand_in(finesight, tmp_path, "trap 'exit 75' TERM; echo up; while :; do sleep 0.1; done")
    wait_for(lambda: log.exists() and "up\n" in log.read_text("utf-8"), slurm, job, log)
    slurm.ask("scancel", job)
    # It has ended when its script has, so nothing is left that could put it back.
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["Restarts"]) == ("CANCELLED", "0"), log.read_text("utf-8")
    assert "goes back" not in log.read_text("utf-8")


def test_a_job_that_comes_no_further_ends(slurm: OwnSlurm, finesight: Finesight, tmp_path: Path) -> None:
    job, _, log = launch_stand_in(finesight, tmp_path, "exit 75")
    ended = slurm.ended(job)
    assert (ended["JobState"], ended["Restarts"], ended["ExitCode"]) == ("FAILED", "2", "1:0"), log.read_text("utf-8")
    assert "3 starts in a row came no further" in log.read_text("utf-8")


def test_what_slurm_says_against_a_job_is_told(finesight: Finesight, tmp_path: Path) -> None:
    done = finesight("launch", write_recipe(tmp_path), "--slurm", "--partition", "nowhere", "--no-check")
    assert done.returncode == 2
    assert "SLURM did not take the job" in done.stderr and "invalid partition" in done.stderr
    assert "Traceback" not in done.stderr
