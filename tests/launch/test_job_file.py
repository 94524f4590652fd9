"""The job file: what SLURM is asked, and what the script does, with stand-ins for SLURM's own programs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from job_making import write_job

from finesight.launch.sbatch import MOST_FRUITLESS

STRANGE = 'it\'s 100% "mine" $(touch broken) `touch broken` & #1; * è 図'
"""A folder's name that a shell, and SLURM's log names, would take for something else."""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

SRUN = """#!/bin/bash
for argument in "$@"; do printf '%s\\n' "$argument"; done >>"$TOLD/srun"
eval "$ACT"
"""
SCONTROL = """#!/bin/bash
echo "$@" >>"$TOLD/scontrol"
[[ "$1" != show ]] || echo node-7
[[ "$1" != requeue ]] || [[ -z "$REFUSE" ]]
"""
SLEEP = """#!/bin/bash
echo "$@" >>"$TOLD/sleep"
exec /bin/sleep 0.2
"""


@dataclass(frozen=True)
class Job:
    """A start of a job that has ended."""

    code: int
    output: str
    srun: list[str]
    scontrol: list[str]

    @property
    def went_back(self) -> bool:
        """Whether it was put back into the queue."""
        return "requeue 7" in self.scontrol


StartJob = Callable[..., Job]


@pytest.fixture
def start_job(tmp_path: Path) -> StartJob:
    """Runs a job file; `act` is what srun does in the run's stead."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("sleep", SLEEP)):
        (stand_ins / name).write_text(text, encoding="utf-8")
        (stand_ins / name).chmod(0o755)

    def start(job: Path, act: str = "", *, restart: int = 0, refuse: str = "") -> Job:
        told = tmp_path / f"told-{restart}"
        told.mkdir(exist_ok=True)
        environment = {
            "PATH": f"{stand_ins}:{os.environ['PATH']}", "TOLD": str(told), "ACT": act, "REFUSE": refuse,
            "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node-[7-8]", "SLURM_NTASKS": "4",
            **({"SLURM_RESTART_COUNT": str(restart)} if restart else {}),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(job)], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=60
        )
        return Job(done.returncode, done.stdout + done.stderr, _lines(told / "srun"), _lines(told / "scontrol"))

    return start


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def options_of(job: Path) -> dict[str, str]:
    """Return the options that a job file gives SLURM, as SLURM (and a shell) reads them."""
    lines = (line.removeprefix("#SBATCH ") for line in job.read_text("utf-8").splitlines() if line.startswith("#SB"))
    words = [word for line in lines for word in shlex.split(line)]
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def test_slurm_is_asked_for_what_was_typed(tmp_path: Path) -> None:
    files = write_job(
        tmp_path / STRANGE, processes=2, nodes=3, partition="gpu", time="24:00:00", gpus=2, gpu_type="l40s",
        account="us", mem="48G", cpus_per_task=4, further=("--qos=long",), warning_seconds=300,
    )  # fmt: skip
    assert options_of(files.job) == {
        "--job-name": "small", "--account": "us", "--partition": "gpu", "--time": "24:00:00", "--nodes": "3",
        "--ntasks-per-node": "2", "--gres": "gpu:l40s:2", "--cpus-per-task": "4", "--mem": "48G",
        "--output": str(files.log).replace("%", "%%"), "--open-mode": "append", "--signal": "B:USR1@300",
        "--requeue": "", "--qos": "long",
    }  # fmt: skip


def test_what_was_not_typed_is_left_to_the_cluster(tmp_path: Path) -> None:
    assert set(options_of(write_job(tmp_path / "run").job)) == {
        "--job-name", "--nodes", "--ntasks-per-node", "--output", "--open-mode", "--signal", "--requeue",
    }  # fmt: skip


@pytest.mark.parametrize("processes", [1, 2])
def test_strange_names_stay_names(processes: int, tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / STRANGE, processes=processes)
    job = start_job(files.job)
    assert job.code == 0, job.output
    assert job.srun[-6:] == ["-m", "finesight", "run", "recipe.yaml", "--output", str(files.run)]
    files.run.mkdir()
    (files.run / "recipe.yaml").touch()
    assert start_job(files.job, restart=1).srun[-5:] == ["-m", "finesight", "run", "--resume", str(files.run)]
    assert not (tmp_path / "broken").exists()


def test_the_file_has_no_fault_that_shellcheck_knows(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    for processes, more in ((1, {}), (2, {"modules": ("cuda/12.4",), "setup": ("export A=1",), "venv": "some where"})):
        files = write_job(tmp_path / STRANGE, processes=processes, **more)
        command = ["shellcheck", "--severity=warning", "--exclude=SC1091", str(files.job)]  # 1091: the venv is not here
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout == ""


def test_every_process_is_told_its_number_and_where_the_first_is(tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "run", processes=2, nodes=2)
    act = (
        "while [[ $1 == --* ]]; do shift; done\n"
        'set -- "$1" "$2" "$3" "$4" printenv RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT\n'
        'SLURM_PROCID=3 SLURM_LOCALID=1 "${@:1:4}" "${@:5}"'
    )
    job = start_job(files.job, act)
    assert job.code == 0, job.output
    assert job.output.splitlines()[-6:] == ["3", "1", "4", "2", "node-7", "20007"]
    assert "export FINESIGHT_ENGINE=ddp" in files.job.read_text("utf-8")


@pytest.mark.parametrize(("hides_gpus", "seen"), [(True, "''"), (False, "'0,1'")])
def test_without_gpus_none_is_seen(hides_gpus: bool, seen: str, tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "run", hides_gpus=hides_gpus, setup=("export CUDA_VISIBLE_DEVICES=0,1",))
    assert f"sees {seen}" in start_job(files.job, """echo "sees '$CUDA_VISIBLE_DEVICES'" """).output


@pytest.mark.parametrize(
    ("act", "code", "went_back"),
    [("exit 0", 0, False), ("exit 75", 75, True), ("exit 2", 2, False), ("exit 1", 1, False), ("exit 137", 137, False)],
)
def test_only_a_run_that_was_stopped_goes_back(
    act: str, code: int, went_back: bool, tmp_path: Path, start_job: StartJob
) -> None:
    job = start_job(write_job(tmp_path / "run").job, act)
    assert (job.code, job.went_back) == (code, went_back)


WARN = 'kill -USR1 "$PPID"; '


@pytest.mark.parametrize(
    ("act", "code", "went_back"),
    [
        ("trap 'exit 75' USR1", 75, True),
        ("trap 'exit 0' USR1", 0, False),
        ("trap 'exit 2' USR1", 2, False),
        ("trap - USR1", 128 + 10, True),
    ],
    ids=["it saves", "it was done just then", "it failed just then", "it could not listen yet"],
)
def test_the_warning_reaches_the_run_and_its_end_is_understood(
    act: str, code: int, went_back: bool, tmp_path: Path, start_job: StartJob
) -> None:
    job = start_job(write_job(tmp_path / "run").job, f"{act}; {WARN} while :; do /bin/sleep 0.05; done")
    assert (job.code, job.went_back) == (code, went_back)
    assert "The time limit is near" in job.output


def test_a_run_that_is_not_done_in_time_goes_back_all_the_same(tmp_path: Path, start_job: StartJob) -> None:
    job = start_job(write_job(tmp_path / "run").job, f"trap '' USR1; {WARN} /bin/sleep 1; exit 9")
    assert (job.code, job.went_back) == (9, True)
    assert _lines(tmp_path / "told-0" / "sleep") == ["90"]


def advance(run: Path, starts: Sequence[bool], start_job: StartJob, job: Path) -> list[Job]:
    """Start a job again and again; where `starts` says so, the run saves a checkpoint before it is stopped."""
    jobs = []
    for restart, comes_further in enumerate(starts):
        save = f"mkdir -p {shlex.quote(str(run / f'checkpoints/tune/checkpoint-{restart}'))};" if comes_further else ""
        jobs.append(start_job(job, f"{save} exit 75", restart=restart))
    return jobs


def test_a_job_that_comes_no_further_is_given_up(tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "run")
    jobs = advance(files.run, [True, False, False, False], start_job, files.job)
    assert [job.went_back for job in jobs] == [True, True, True, False]
    assert jobs[-1].code == 1
    assert f"{MOST_FRUITLESS} starts in a row came no further" in jobs[-1].output
    # Whoever submits it again means it.
    assert start_job(files.job, "exit 75").went_back


def test_a_job_that_comes_further_now_and_then_goes_on(tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "run")
    jobs = advance(files.run, [False, False, True, False, False, True, False], start_job, files.job)
    assert all(job.went_back for job in jobs)


def test_answers_that_were_kept_are_progress(tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "run")
    answers = files.run / "evaluation" / "before" / "held_out.jsonl"
    answers.parent.mkdir(parents=True)
    for restart in range(2 * MOST_FRUITLESS):
        act = f"echo answer >>{shlex.quote(str(answers))}; exit 75"
        assert start_job(files.job, act, restart=restart).went_back


def test_where_slurm_does_not_take_it_back_the_way_by_hand_is_told(tmp_path: Path, start_job: StartJob) -> None:
    files = write_job(tmp_path / "a run")
    job = start_job(files.job, "exit 75", refuse="yes")
    assert job.code == 1
    assert f"to go on by hand: sbatch {files.job}" in job.output


def test_a_setup_line_that_fails_ends_the_job(tmp_path: Path, start_job: StartJob) -> None:
    job = start_job(write_job(tmp_path / "run", setup=("false", "echo not reached")).job)
    assert job.code == 1
    assert (job.srun, "not reached" in job.output) == ([], False)


def test_the_run_uses_the_python_of_its_environment(tmp_path: Path, start_job: StartJob) -> None:
    venv = tmp_path / "an environment"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "activate").write_text("echo activated\n", encoding="utf-8")
    job = start_job(write_job(tmp_path / "run", venv=str(venv)).job)
    assert "activated" in job.output
    assert str(venv / "bin" / "python") in job.srun
    assert sys.executable in start_job(write_job(tmp_path / "run").job, restart=1).srun
