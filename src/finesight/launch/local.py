"""A run on this machine: a process for each GPU, which begin together and end together.

`torchrun` would do, and a run that it started is as good. But whatever a run ends with, torchrun ends with 1 and a
traceback, and the signal by which a queue asks a run to save ends torchrun alone (measured: 2.13).
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from finesight.launch.work import Work
from finesight.runtime import ENGINE_VARIABLE, say

PATIENCE_SECONDS = 60.0
"""How long the others may take to end when one process has failed, and again once they are asked to."""
_PAUSE_SECONDS = 0.1
_KILLED = 128
"""What a shell adds to the number of the signal that ended a process."""
_REASONS = {signal.SIGKILL: " (most often because the machine ran out of memory)"}
_PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGUSR1: signal.SIGUSR1,
    signal.SIGHUP: signal.SIGTERM,  # the terminal was closed: the run saves
}
"""The signals that reach this process, and as what the run's processes get them."""


def command(work: Work) -> list[str]:
    """Return what each process runs."""
    return [sys.executable, "-m", "finesight", *(work.beginning or work.resuming)]


def environments(work: Work, port: int) -> list[dict[str, str]]:
    """Return what the environment of each process has besides this one's: the names that torchrun gives."""
    threads = max(1, (os.cpu_count() or 1) // work.processes)
    shared = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    if work.hides_gpus:
        shared["CUDA_VISIBLE_DEVICES"] = ""
    if not work.meets:
        return [shared]
    shared |= {
        "WORLD_SIZE": str(work.processes),
        "LOCAL_WORLD_SIZE": str(work.processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        ENGINE_VARIABLE: work.engine,
    }
    return [{**shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(work.processes)]


def command_lines(work: Work) -> list[str]:
    """Return what is started, as lines that a shell would run; the port is one that is free now."""
    return [
        " ".join([*(f"{name}={value}" for name, value in own.items()), shlex.join(command(work))])
        for own in environments(work, free_port())
    ]


def run_here(work: Work) -> int:
    """Run the work, and return its exit code: 0, or that of the first process to fail (128 + the signal that ended it).

    Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal are passed on: the run saves, and tells how to go on.
    """
    together = _Together()
    with together.listening():
        for own in environments(work, free_port()):
            together.start(command(work), {**os.environ, **own})
        return together.wait()


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Together:
    """Processes that end together."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._pass_on) for number in _PASSED_ON}
        try:
            yield
        finally:
            self._tell(signal.SIGKILL)  # what nothing else could end
            for process in self._processes:
                process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        # In a session of its own: what a terminal sends reaches it once, from here.
        self._processes.append(
            subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        )

    def wait(self) -> int:
        failed = self._until_one_fails()
        if failed is None:
            return 0
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._end_within(PATIENCE_SECONDS):
                break
            self._tell(number)
        code = self._processes[failed].wait()
        if code < 0:
            number = signal.Signals(-code)
            say(f"process {failed} was ended by {number.name}{_REASONS.get(number, '')}")
            return _KILLED - code
        return code

    def _until_one_fails(self) -> int | None:
        """Wait, and return the number of the first process to fail; None when all have ended well."""
        while True:
            codes = [process.poll() for process in self._processes]
            failed = [number for number, code in enumerate(codes) if code]
            if failed:
                return failed[0]
            if None not in codes:
                return None
            time.sleep(_PAUSE_SECONDS)

    def _end_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(process.poll() is not None for process in self._processes):
                return True
            time.sleep(_PAUSE_SECONDS)
        return False

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._tell(_PASSED_ON[signal.Signals(number)])

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)
