"""A program of the user's, while it runs: a file goes in, lines come out, and it ends when we do."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from finesight.errors import UserError

LONGEST_LINE_BYTES = 1 << 20
"""A program that never ends its line must not fill the memory."""
_PIECE_BYTES = 1 << 16
_WAIT_SECONDS = 1.0
ENDING_SECONDS = 10.0
"""How long a program may take to end by itself when it has said all, or was asked to."""
_SHOWN_LINES = 10
_SHOWN_BYTES = 4096


@dataclass(frozen=True)
class Command:
    """A program with all that it is run with."""

    arguments: tuple[str, ...]
    """The program itself first. It is run without a shell."""
    folder: Path
    """Where it runs."""
    environment: Mapping[str, str]
    """Variables that are set for it, beside those of this process."""
    log: Path
    """What it writes on stderr is added to this file."""

    def require_program(self, name: str) -> None:
        """Raise `UserError`, calling it `name`, when there is no such program."""
        program = self.arguments[0]
        # As the system will look for it: with a slash from the folder where it runs, else along PATH.
        sought = str(self.folder / program) if os.sep in program else program
        if shutil.which(sought, path=self._variables().get("PATH")) is None:
            raise UserError(
                f"{name}: there is no program {program}",
                hint="`command` begins with a program, as python, or the path to one; it is run without a shell",
            )

    @contextmanager
    def running(self, requests: Path) -> Iterator[Program]:
        """Run the program on the file `requests` as its stdin; at the end of the block it is ended, if it still runs.

        Raises `UserError` when it cannot be begun.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with requests.open("rb") as stdin, self.log.open("ab") as stderr:
            said_before = stderr.tell()
            try:
                process = subprocess.Popen(
                    self.arguments,
                    cwd=self.folder,
                    env=self._variables(),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    # A group of its own: Ctrl-C does not reach it, and what it starts itself ends with it.
                    start_new_session=True,
                )
            except OSError as error:
                raise UserError(f"{self.arguments[0]}: cannot be run: {error.strerror}") from error
        program = Program(process, self.log, said_before)
        try:
            yield program
        finally:
            program.stop()

    def _variables(self) -> dict[str, str]:
        # Or Python would keep what is printed until 8 KiB have come together, and look as if it said nothing.
        return {"PYTHONUNBUFFERED": "1", **os.environ, **self.environment}


class Program:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, said_before: int) -> None:
        self._process = process
        self._log = log
        self._said_before = said_before

    def lines(self) -> Iterator[list[bytes]]:
        """Yield the lines that it writes as they come, an empty list for each second without one, until it is done."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        begun = b""
        while True:
            if not select.select([output], [], [], _WAIT_SECONDS)[0]:
                yield []
                continue
            piece = os.read(output, _PIECE_BYTES)
            if not piece:
                break
            *lines, begun = (begun + piece).split(b"\n")
            if len(begun) > LONGEST_LINE_BYTES:
                lines, begun = [*lines, begun], b""
            yield lines
        if begun:
            yield [begun]

    def how_it_ended(self) -> str:
        """Return what is wrong with its end, once it has said all; nothing where it ends well, by itself and soon."""
        try:
            code = self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "it did not end by itself"
        if code < 0:
            return f"it was ended by {_signal_name(-code)}"
        return f"it ended with exit code {code}" if code else ""

    def last_words(self) -> str:
        """Return the last lines that it wrote on stderr, nothing where it wrote none."""
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._said_before, end - _SHOWN_BYTES))
            said = log.read().decode("utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in said.splitlines()[-_SHOWN_LINES:] if line.strip())

    def stop(self) -> None:
        """End the program and all that it has started, politely and then by force, where any of it still runs."""
        assert self._process.stdout is not None
        for request in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, request)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDING_SECONDS)
                break
        self._process.stdout.close()


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
