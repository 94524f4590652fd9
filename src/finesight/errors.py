"""The errors a person is meant to read: a message, a hint, and the exit code of the command line."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class FinesightError(Exception):
    """Anything finesight ends on deliberately. The command line prints it without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UserError(FinesightError):
    """Something the person gave cannot be used: a recipe, a file, a folder, an option."""

    exit_code = 2


class RecipeError(UserError):
    """Every fault of a recipe at once, each with its file, line and hint."""

    def __init__(self, faults: list[str], *, hint: str = "") -> None:
        super().__init__("\n".join(faults), hint=hint)
        self.faults = faults


class DataError(UserError):
    """Examples that cannot be read or used; the message counts them and names the first few."""


class ModelError(UserError):
    """A checkpoint, configuration, tokenizer or template that does not make a working model."""


class WriteError(UserError):
    """Something could not be written, most often because the disk is full."""


class EndedElsewhere(FinesightError):
    """Another process of the run has met an error, and tells it; this one ends with its exit code and is silent."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CheckFailed(FinesightError):
    """A check found the run unsound. Exit code 1: nothing is broken, the answer is no."""

    exit_code = 1


class Interrupted(FinesightError):
    """A person asked the run to stop; what was finished is on disk."""

    exit_code = 130


class Preempted(Interrupted):
    """A cluster asked the run to make way (SIGTERM, SIGUSR1); what was finished is on disk, and waits to be resumed.

    Exit code 75 is `EX_TEMPFAIL` of sysexits.h: try again later. `finesight launch` resumes such a run.
    """

    exit_code = 75


def command_line(*words: object) -> str:
    """Return a command of finesight as a shell takes it, for a hint: a path may have blanks in it."""
    return shlex.join(["finesight", *map(str, words)])


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that was probably meant by `name`, if one is like it."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)
