"""What a cluster is asked for: time limits as SLURM reads them, and options that no job file can hold."""

from __future__ import annotations

import pytest

from finesight.errors import UserError
from finesight.launch.cluster import Cluster, require_writable, time_limit_seconds


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
        (Cluster(warning_seconds=59), "at least 60"),
        (Cluster(partition="gpu\n#SBATCH --uid=0"), "no line of a job file"),
        (Cluster(setup=("echo a\nrm b",)), "no line of a job file"),
        (Cluster(further=("qos=long",)), "no option of sbatch"),
    ],
)
def test_what_slurm_could_not_follow_is_refused(cluster: Cluster, told: str) -> None:
    with pytest.raises(UserError, match=told):
        require_writable(cluster)


def test_the_shortest_time_that_leaves_the_run_some_is_taken() -> None:
    require_writable(Cluster(time="3:01"))
