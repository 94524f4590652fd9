"""`finesight launch`: what it refuses, what it prints, and what it writes before it submits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from finesight.recipe.builtin import find_recipe
from finesight.recipe.reading import read_recipe
from finesight.run_lock import held_alone
from finesight.rundir import RunDir

SBATCH = """#!/bin/sh
echo "sbatch: your budget pays" >&2
[ "$1" = --parsable ] && cp "$2" "$PWD/submitted" && echo "4711;cluster"
"""


def launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verb in `folder`; a stand-in for sbatch in its `bin` is found first."""
    return subprocess.run(
        [sys.executable, "-m", "finesight", "launch", *arguments],
        capture_output=True, text=True, cwd=folder, check=False, timeout=120,
        env={**os.environ, "PYTHONUTF8": "1", "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )  # fmt: skip


@pytest.fixture
def login_node(tmp_path: Path) -> Path:
    """A folder in which there is an sbatch that takes every job."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH, encoding="utf-8")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "what is to be run?"),
        (["starter", "--resume", "runs/a"], "--resume goes on with a run as it was begun"),
        (["starter", "--gpus", "1", "--processes", "2"], "exclude each other"),
        (["starter", "--processes", "2", "--partition", "gpu", "--json"], "--partition, --json: for a cluster alone"),
        (["starter", "--processes", "2", "--nodes", "2"], "--nodes: for a cluster alone"),
        (["starter", "--processes", "2", "--warning-seconds", "90"], "--warning-seconds: for a cluster alone"),
        (["starter", "--slurm", "--processes", "2", "--gpu-type", "a40"], "--gpu-type names GPUs"),
        (["starter", "--slurm", "--time", "soon"], "--time soon: not a time limit"),
        (["starter", "--slurm", "--venv", "nowhere"], "no virtual environment"),
        (["nothing.yaml", "--slurm"], "nothing.yaml: no such file"),
        (["nothing.yaml", "--processes", "2"], "nothing.yaml: no such file"),
        (["starter", "--processes", "2", "--set", "train.learning_rat=1"], "did you mean `learning_rate`?"),
        (["starter", "--processes", "2", "--data-root", "nowhere"], "--data-root nowhere: no such folder"),
        (["starter", "--processes", "2", "--engine", "fsdp", "--set", "train.optim=muon"], "train.optim: muon"),
        (["--processes", "2", "--resume", "nowhere"], "not a run folder"),
        (["--slurm", "--resume", "nowhere"], "not a run folder"),
        (["starter", "--slurm", "--output", "a\nb"], "no line of a job file can hold"),
    ],
)
def test_what_cannot_be_started_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = launch(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") <= 2, "once, whatever the number of processes"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_the_job_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = launch(tmp_path, "starter", "--slurm", "--gpus", "2", "--time", "1-0", "--output", "r", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH --gres=gpu:2", "#SBATCH --ntasks-per-node=2", "#SBATCH --time=1-0"} <= set(lines)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_here_prints_what_each_process_runs(tmp_path: Path) -> None:
    done = launch(tmp_path, "starter", "--gpus", "2", "--engine", "fsdp", "--set", "seed=3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split("RANK=")[1][0] for line in done.stdout.splitlines()] == ["0", "1"]
    assert all("FINESIGHT_ENGINE=fsdp" in line for line in done.stdout.splitlines())
    assert all("finesight run starter --set seed=3" in line for line in done.stdout.splitlines())


def test_a_run_that_has_a_process_is_not_started_again(tmp_path: Path) -> None:
    run = RunDir.new(read_recipe(find_recipe("starter")).recipe, tmp_path / "run", tmp_path)
    run.begin({"data_root": str(tmp_path), "recipe": {}})
    with held_alone(run.path):
        done = launch(tmp_path, "--resume", "run", "--processes", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"run: another process is at this run (process {os.getpid()} on ")


def test_a_run_goes_on_with_data_that_were_moved(tmp_path: Path) -> None:
    run = RunDir.new(read_recipe(find_recipe("starter")).recipe, tmp_path / "run", tmp_path)
    run.begin({"data_root": str(tmp_path), "recipe": {}})
    (tmp_path / "moved here").mkdir()
    arguments = ("--resume", "run", "--processes", "2", "--data-root", "moved here", "--dry-run")
    for options in ((), ("--slurm",)):
        done = launch(tmp_path, *arguments, *options)
        assert done.returncode == 0, done.stderr
        assert f"--data-root '{tmp_path / 'moved here'}' --keep-images none" in done.stdout


def test_a_missing_deepspeed_is_told_before_anything_starts(tmp_path: Path) -> None:
    if find_spec("deepspeed"):
        pytest.skip("DeepSpeed is installed")
    guards = "train.guards={on_bad_loss: stop, on_spike: note}"
    arguments = ("starter", "--processes", "2", "--engine", "zero3", "--set", guards)
    for options in ((), ("--dry-run",)):
        done = launch(tmp_path, *arguments, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the engine zero3 needs DeepSpeed" in done.stderr


def test_a_dry_run_gives_programs_json(tmp_path: Path) -> None:
    done = launch(tmp_path, "starter", "--slurm", "--output", "r", "--dry-run", "--json", "--time", "24")
    told = json.loads(done.stdout)
    assert told["file"] == str(tmp_path / "r.slurm" / "job.sbatch")
    assert told["text"].startswith("#!/bin/bash") and "#SBATCH --time=24\n" in told["text"]
    assert done.stderr == "--time 24: SLURM reads 24 minutes; as many hours are 24:00:00\n"
    assert list(tmp_path.iterdir()) == []


def test_without_slurm_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = launch(tmp_path, "starter", "--slurm", "--no-check")
    assert done.returncode == 2
    assert "no sbatch" in done.stderr and "--dry-run" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_submitted_runs_the_recipe_as_it_is_now(login_node: Path) -> None:
    done = launch(
        login_node, "starter", "--slurm", "--set", "seed=3", "--set", "train.max_steps=7", "--output", "my run",
        "--keep-images", "pixels", "--no-check", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = login_node / "my run"
    folder = login_node / "my run.slurm"
    assert json.loads(done.stdout) == {
        "job": "4711", "run": str(run), "file": str(folder / "job.sbatch"), "log": str(folder / "log.txt"),
    }  # fmt: skip
    job = (login_node / "submitted").read_text("utf-8")
    assert job == (folder / "job.sbatch").read_text("utf-8")
    assert f"run '{folder}/recipe.yaml' --data-root {login_node} --output '{run}'" in job
    assert job.count("--keep-images pixels") == 2
    assert "--max-tokens-per-device" not in job, "as `finesight run`: it finds out what fits"
    assert "your budget pays" in done.stderr
    meant = read_recipe(find_recipe("starter"), ["seed=3", "train.max_steps=7"]).recipe
    assert read_recipe(folder / "recipe.yaml").recipe == meant
    assert not run.exists()


def test_a_package_that_is_not_there_is_told_before_a_job_waits_for_it(login_node: Path) -> None:
    missing = next((name for name in ("wandb", "mlflow", "tensorboard") if find_spec(name) is None), None)
    if missing is None:
        pytest.skip("every tracker is installed")
    done = launch(login_node, "starter", "--slurm", "--set", f"train.report_to=[{missing}]")
    assert done.returncode == 2
    assert f"{missing} is not installed" in done.stderr
    assert not (login_node / "submitted").exists()


def test_a_failed_check_submits_nothing(login_node: Path) -> None:
    recipe = login_node / "recipe.yaml"
    recipe.write_text(find_recipe("vqa-rad").read_text("utf-8"), encoding="utf-8")
    done = launch(login_node, str(recipe), "--slurm")
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr and "Traceback" not in done.stderr
    assert not (login_node / "submitted").exists()
    assert sorted(path.name for path in login_node.iterdir()) == ["bin", "recipe.yaml"]
