"""What a cluster is asked for: time limits as SLURM reads them, and options that no job file can hold."""

from __future__ import annotations

import shlex

import pytest

from finesight.errors import UserError
from finesight.launch.cluster import Cluster, further_option, require_writable, time_limit_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * 60),
        ("90:30", 90 * 60 + 30),
        ("24:00:00", 24 * 3600),
        ("00:05:01", 301),
        ("2-0", 2 * 86400),
        ("2-12", 2 * 86400 + 12 * 3600),
        ("2-12:30", 2 * 86400 + 12 * 3600 + 30 * 60),
        ("2-12:30:15", 2 * 86400 + 12 * 3600 + 30 * 60 + 15),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    assert time_limit_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "24h", "1:2:3:4", "-1", "2-", "1.5", "2-12:30:15:1", " 90"])
def test_no_other_text_is_a_time_limit(text: str) -> None:
    with pytest.raises(UserError, match="not a time limit"):
        time_limit_seconds(text)


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        (Cluster(time="3:00"), "warn 180 seconds before"),
        (Cluster(warning_seconds=59), "from 60 to 65535"),
        (Cluster(warning_seconds=65536), "from 60 to 65535"),
        (Cluster(mem="48 G"), "not a size"),
        (Cluster(mem=""), "not a size"),
        (Cluster(mem="48GiB"), "not a size"),
        (Cluster(gpus=2, gpu_type="a100:2"), "not a name"),
        (Cluster(gpu_type=""), "not a name"),
        (Cluster(partition=""), "--partition: an empty name"),
        (Cluster(account=" "), "--account: an empty name"),
        (Cluster(partition="gpu\n#SBATCH --uid=0"), "no line of a job file"),
        (Cluster(setup=("echo a\nrm b",)), "no line of a job file"),
        (Cluster(further=("qos=long",)), "no option of sbatch"),
        (Cluster(further=("--qos:long",)), "no option of sbatch"),
        (Cluster(further=("--",)), "no option of sbatch"),
    ],
)
def test_what_slurm_could_not_follow_is_refused(cluster: Cluster, told: str) -> None:
    with pytest.raises(UserError, match=told):
        require_writable(cluster)


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("--signal=USR2", "--warning-seconds"),
        ("--no-requeue", "goes back into the queue"),
        ("--array=1-3", "its own number"),
        ("-a1-3", "its own number"),
        ("--time=1:00", "give --time"),
        ("-t 10", "give --time"),
        ("--output=x", "log"),
        ("-o", "log"),
        ("--open-mode=truncate", "log"),
        ("--ntasks 4", "--processes"),
        ("--gres=gpu:4", "--gpus"),
        ("--nodes=2", "give --nodes"),
        ("--job-name=mine", "--set name="),
    ],
)
def test_what_the_job_file_gives_itself_is_given_nowhere_else(typed: str, instead: str) -> None:
    with pytest.raises(UserError, match="the job has its own -") as told:
        require_writable(Cluster(further=(typed,)))
    assert instead in told.value.hint


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--qos=long", ["--qos=long"]),
        ("--comment=hello world", ["--comment=hello world"]),
        ("--comment it's mine", ["--comment", "it's mine"]),
        ("-C a100&nvlink", ["-C", "a100&nvlink"]),
        ("-Ca100", ["-Ca100"]),
        ("--exclusive", ["--exclusive"]),
        ("--mem-per-cpu=4G", ["--mem-per-cpu=4G"]),
    ],
)
def test_another_option_is_written_as_a_shell_would_read_it(typed: str, words: list[str]) -> None:
    assert shlex.split(further_option(typed)) == words


def test_the_shortest_time_that_leaves_the_run_some_is_taken() -> None:
    require_writable(Cluster(time="3:01"))
