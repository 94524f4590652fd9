"""What a person sees while a run works: progress bars on a terminal, and quiet elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from small_runs import Finesight, WriteRecipe, environment


def read_all(terminal: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux's word for the end of a terminal
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode()


def test_progress_on_a_terminal_with_a_validation_inside_the_training(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "finesight", "run", str(write_recipe()), "--output", str(tmp_path / "run")],
        stdout=subprocess.PIPE, stderr=theirs, env={**environment(), "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = read_all(ours)
    os.close(ours)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    bars = ("before: held_out", "training tune", "validating", "after: held_out")
    assert [bar for bar in bars if bar not in shown] == []
    assert "\x1b[" in shown
    assert b"\x1b" not in printed
    assert printed.decode().splitlines()[-1] == str(tmp_path / "run")


def test_quiet_when_nobody_watches(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    ended = finesight("run", write_recipe(), "--output", tmp_path / "run")
    assert ended.code == 0
    lines = ended.stderr.splitlines()
    tried, trained = ("tune: trying ", "tune: ", "warning: ", "checked: "), ("tune: 12 steps", "tune: best eval_loss ")
    begin = (f"small → {tmp_path / 'run'}", *tried, *trained)
    assert [line.startswith(words) for line, words in zip(lines, begin, strict=True)] == [True] * len(begin)
    assert not {"\x1b", "\r"} & set(ended.stderr + ended.stdout)
