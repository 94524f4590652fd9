"""What a person sees when a verb does not end well: a message and a hint instead of a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from finesight.errors import EndedElsewhere, FinesightError, WriteError

TO_MEND = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EFBIG)
"""A file or folder that may not be used as was asked."""


@contextmanager
def told_plainly(*, traceback: bool) -> Iterator[None]:
    """Turn what is expected to go wrong into a message on stderr and an exit code; `traceback` lets it through.

    Exit codes: 1 a failed check, 2 something the person can mend, 75 a cluster took the machine away and the run waits
    to be resumed, 130 interrupted, 141 the reader of a pipe left.
    Anything else is a fault of finesight, and keeps its traceback.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more when it ends
        raise typer.Exit(BROKEN_PIPE) from None
    except (FinesightError, KeyboardInterrupt, OSError) as error:
        if traceback or not (told := _told(error)):
            raise
        message, hint, exit_code = told
        if message:
            print(message, file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
        raise typer.Exit(exit_code) from None


def _told(error: BaseException) -> tuple[str, str, int] | None:
    """Return message, hint and exit code; None for an operating system error that says nothing to a person."""
    match error:
        case EndedElsewhere():
            return "", "", error.exit_code
        case FinesightError():
            return error.message, error.hint, error.exit_code
        case KeyboardInterrupt():
            return "interrupted", "", INTERRUPTED
        case OSError() if error.errno in _FULL:
            hint = "make room, or name another disk with --output and FINESIGHT_CACHE"
            return cannot_be_written(error), hint, TO_MEND
        case OSError() if error.errno in _CLOSED and error.filename:
            return f"{error.filename}: {error.strerror}", "", TO_MEND
        case _:
            return None


def cannot_be_written(error: OSError | WriteError) -> str:
    """Return what a person reads of a full disk and the like; nothing for errors of another kind."""
    match error:
        case WriteError():
            return error.message
        case OSError() if error.errno in _FULL:
            return f"the disk is full ({error.filename})" if error.filename else "the disk is full"
        case OSError() if error.errno == errno.EFBIG:
            return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        case _:
            return ""
