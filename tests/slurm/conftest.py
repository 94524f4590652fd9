"""A SLURM for these tests: started once, skipped where it is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_slurm import PATIENCE_SECONDS, Finesight, OwnSlurm, missing_programs, own_slurm


@pytest.fixture(scope="session")
def slurm(request: pytest.FixtureRequest) -> Iterator[OwnSlurm]:
    """A SLURM of one node, with two GPUs that are none."""
    if request.config.getoption("markexpr") != "slurm":
        pytest.skip("starts services and waits for a queue: `make test-slurm`, or pytest -m slurm")
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed ({', '.join(missing)}): `make test-slurm` installs it on Debian")
    # A socket's path may have 108 characters, and pytest's folders are longer.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, own_slurm(Path(folder)) as started:
        yield started


@pytest.fixture
def finesight(slurm: OwnSlurm, tmp_path: Path) -> Finesight:
    """Runs the command line where SLURM is, as a person on the login node does."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "finesight", *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd=tmp_path, timeout=PATIENCE_SECONDS,
            env={
                **slurm.environment, "FINESIGHT_CACHE": os.environ["FINESIGHT_CACHE"], "OMP_NUM_THREADS": "1",
                "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1",
            },
        )  # fmt: skip

    return call
