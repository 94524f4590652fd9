"""`make run` on a fresh machine, with a Python that only notes what it is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

FRESH_PYTHON = """#!/bin/sh
case "$*" in
  *"-m venv"*)
    mkdir -p .venv/bin && cp "$0" .venv/bin/python
    printf '#!/bin/sh\\nmkdir -p "$3" && echo answers >"$3/report.html" && echo "$3"\\n' >.venv/bin/finesight
    chmod +x .venv/bin/finesight ;;
  *" install "*) echo "${*##* install }" >>installed.txt ;;
esac
"""
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo Python 3.8.18 || exit 1
"""
PYTHON_WITHOUT_VENV = """#!/bin/sh
case "$*" in *ensurepip*) exit 1 ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    return tmp_path


def make(checkout: Path, target: str, python: str) -> subprocess.CompletedProcess[str]:
    """Run `make target` with a stand-in for Python."""
    stand_in = checkout / "stand-in-python"
    stand_in.write_text(python, encoding="utf-8")
    stand_in.chmod(0o755)
    # `make test` runs this test, and would pass its own flags on.
    ours = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["make", target, f"PYTHON={stand_in}"],
        cwd=checkout, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_run_installs_torch_first_and_ends_with_the_path_of_the_report(checkout: Path) -> None:
    outcome = make(checkout, "run", FRESH_PYTHON)
    assert outcome.returncode == 0, outcome.stderr
    assert (checkout / outcome.stdout.splitlines()[-1]).read_text() == "answers\n"
    assert (checkout / "installed.txt").read_text().splitlines() == [
        "--constraint constraints.txt torch",
        "--constraint constraints.txt --editable .",
    ]


def test_a_second_run_installs_only_what_changed(checkout: Path) -> None:
    make(checkout, "run", FRESH_PYTHON)
    installed = checkout / "installed.txt"
    once = installed.read_text()
    assert make(checkout, "run", FRESH_PYTHON).returncode == 0
    assert installed.read_text() == once
    os.utime(checkout / ".venv" / ".installed", (0, 0))
    assert make(checkout, "run", FRESH_PYTHON).returncode == 0
    assert installed.read_text() == once * 2


def test_an_old_python_is_refused_with_a_hint(checkout: Path) -> None:
    outcome = make(checkout, "run", OLD_PYTHON)
    assert outcome.returncode != 0
    assert "needs Python 3.11 or newer" in outcome.stderr
    assert "Python 3.8.18" in outcome.stderr
    assert "hint: " in outcome.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_cannot_make_environments_is_refused_with_a_hint(checkout: Path) -> None:
    outcome = make(checkout, "run", PYTHON_WITHOUT_VENV)
    assert outcome.returncode != 0
    assert "lacks the modules venv and ensurepip" in outcome.stderr
    assert "hint: " in outcome.stderr
    assert not (checkout / ".venv").exists()


def test_help_names_every_target(checkout: Path) -> None:
    lines = make(checkout, "help", FRESH_PYTHON).stdout.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines] == [
        "make run", "make test", "make test-faults", "make test-slurm", "make lint", "make rehearse-all", "make clean",
        "make help",
    ]  # fmt: skip
