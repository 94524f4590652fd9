"""`finesight run` in a process of its own, and what a test waits for in its folder."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

StartRun = Callable[..., ForkServerProcess]
PATIENCE_SECONDS = 120

FEW_TOKENS = 128
"""Tokens a device of the longer run: so few that it answers, validates and learns in many batches."""
LONGER: Mapping[str, Any] = {
    "data": {
        "train": [{"kind": "scenes", "scenes": 40, "questions_per_scene": 4, "image_size": 32}],
        "split": {"validation": 0.1, "test": 0.3},
    },
    # With dropout, so that the random state has to be right too.
    "tune": {"vision": "frozen", "projector": "full", "language": {"method": "lora", "r": 4, "lora_dropout": 0.2}},
    "train": {
        "max_steps": 30,
        "global_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "eval_steps": 7,
        "save_steps": 3,
    },
}
"""Long enough to be killed, with many checkpoints."""


def run_command(log: Path, arguments: list[str]) -> None:
    """Run the command line, with its output in a file; the process's exit code is the command's."""
    import torch

    torch.set_num_threads(1)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    from finesight.cli.main import main

    sys.argv = ["finesight", "run", *arguments]
    main()


def wait_until(there: Callable[[], bool], process: ForkServerProcess, *, step_seconds: float = 0.001) -> bool:
    """Wait until something is there; return False when the process ended before it was."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not there():
        if not process.is_alive():
            return False
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(step_seconds)
    return True


def kill(process: ForkServerProcess) -> bool:
    """Kill a process as the system does; return whether that is what ended it."""
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL
