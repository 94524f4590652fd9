"""Java programs that answer each line with a line: the caption metrics' official tokenizer and METEOR are such."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from finesight.errors import FinesightError, UserError
from finesight.runtime import sheltered

START_SECONDS = 300.0
"""What a program may take however little it is given: on a busy machine, METEOR reads its tables for a minute."""
LINE_SECONDS = 0.1
"""What it may take in addition for each line: some fifty times what a line takes."""

# The machine's own language would decide what a letter is: in C, all of Cyrillic is "?"; in Turkish, I is not i.
_SAME_EVERYWHERE = ("-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")


def answer_lines(name: str, arguments: Sequence[str], lines: Sequence[str], folder: Path) -> list[str]:
    """Return what a Java program prints for `lines`, line by line; it runs in `folder`, and has ended on return.

    `name` is what errors call it. Raises `UserError` where there is no Java, and `FinesightError` when the program
    fails or takes longer than `START_SECONDS` and `LINE_SECONDS` a line.
    """
    seconds = _seconds_for(lines)
    try:
        done = subprocess.run(
            _command(name, arguments),
            input=_as_input(lines),
            capture_output=True,
            cwd=folder,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(name, seconds, lines) from None
    except subprocess.CalledProcessError as failed:
        raise _failed(name, failed.returncode, failed.stderr) from None
    printed = done.stdout.decode()
    return printed.removesuffix("\n").split("\n") if printed else []


class KeptProgram:
    """A Java program that stays open between questions: METEOR reads its tables for seconds before its first answer.

    It gives exactly one line for each. Arguments are `answer_lines`' own.
    """

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self._name = name
        self._command = (*arguments,)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._exchange: threading.Thread | None = None
        self._errors: IO[bytes] | None = None
        atexit.register(self.end)

    def answer(self, lines: Sequence[str]) -> list[str]:
        """Return what the program prints for `lines`, line by line. Raises as `answer_lines` does."""
        process = self._process or self._start()
        answers: list[str] = []
        self._exchange = threading.Thread(target=_exchange, args=(process, _as_input(lines), len(lines), answers))
        self._exchange.start()
        seconds = _seconds_for(lines)
        self._exchange.join(seconds)
        if self._exchange.is_alive():
            self.end()
            raise _too_slow(self._name, seconds, lines)
        if len(answers) < len(lines):
            raise _failed(self._name, process.wait(), self.end())
        return answers

    def end(self) -> bytes:
        """End the program, and return what it has said on stderr; a later question starts it again."""
        process, self._process = self._process, None
        errors, self._errors = self._errors, None
        if process is None or errors is None:
            return b""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started itself would keep its pipes open
        if self._exchange is not None:
            self._exchange.join()
        process.communicate()
        with errors:
            errors.seek(0)
            return errors.read()

    def _start(self) -> subprocess.Popen[bytes]:
        command = _command(self._name, self._command)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the program
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._folder,
            start_new_session=True,  # a group of its own, to be ended with all that it starts
        )
        return self._process


def _exchange(process: subprocess.Popen[bytes], asked: bytes, count: int, answers: list[str]) -> None:
    """Write what is asked, and read `count` lines into `answers`: fewer when the program ends before."""
    assert process.stdin is not None and process.stdout is not None
    # Beside the reading: a program whose answers nobody takes does not read on.
    writer = threading.Thread(target=_write, args=(process.stdin, asked))
    writer.start()
    for _ in range(count):
        line = process.stdout.readline()
        if not line:
            break
        answers.append(line.decode().removesuffix("\n"))
    writer.join()


def _write(pipe: IO[bytes], asked: bytes) -> None:
    with suppress(BrokenPipeError):  # the program has ended: what it said of that is told
        pipe.write(asked)
        pipe.flush()


def _command(name: str, arguments: Sequence[str]) -> list[str]:
    return sheltered([_java(name), *_SAME_EVERYWHERE, *arguments])


def _as_input(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _seconds_for(lines: Sequence[str]) -> float:
    return START_SECONDS + LINE_SECONDS * len(lines)


def _too_slow(name: str, seconds: float, lines: Sequence[str]) -> FinesightError:
    return FinesightError(
        f"{name} took longer than {seconds:,.0f} seconds for {len(lines):,} lines",
        hint="look for a caption of thousands of words; sacrebleu and chrf need no Java",
    )


def _failed(name: str, code: int, errors: bytes) -> FinesightError:
    last = errors.decode(errors="replace").strip().split("\n")[-1]
    return FinesightError(
        f"{name} failed with code {code}: {last or 'it said nothing'}", hint="sacrebleu and chrf need no Java"
    )


def _java(name: str) -> str:
    found = shutil.which("java")
    if found is None:
        raise UserError(
            f"{name} is a Java program, and there is no Java here",
            hint="install a Java runtime, so that `java -version` answers (Debian: apt install default-jre-headless); "
            "or score with sacrebleu or chrf, which need none",
        )
    return found
