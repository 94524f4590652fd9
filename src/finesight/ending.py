"""How a run ended that did not come to its end: what whoever looks at its folder later has to know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from finesight.errors import FinesightError, Interrupted, Preempted
from finesight.report.page import write_report
from finesight.rundir import RunDir
from finesight.runtime import is_first_process, say


@contextmanager
def noting_its_end(run: RunDir) -> Iterator[None]:
    """Write end.json when the block ends by an error or a request to stop; a run that begins, or goes on, deletes it.

    A killed process leaves none, but its lock; a run that came to its end leaves neither. What ended by an error also
    gets its page: what guards have seen is told there. One that was asked to stop may have no time for it.
    """
    try:
        yield
    except BaseException as error:
        with suppress(OSError, FinesightError):  # on a full disk the message that is printed has to do
            is_noted = run.note_end(describe_end(error))
            if is_noted and _how(error) == "failed" and isinstance(error, FinesightError):
                report_so_far(run)
        raise


def report_so_far(run: RunDir) -> None:
    """Write the page of a run that has begun and will not come to its end, and say where it is."""
    if is_first_process() and run.has_begun and run.metrics():
        say(f"what there is so far: {write_report(run)}")


def describe_end(error: BaseException) -> dict[str, Any]:
    """Return the content of end.json."""
    return {"how": _how(error), "at": time.strftime("%Y-%m-%d %H:%M:%S %z"), **_words(error)}


def _how(error: BaseException) -> str:
    match error:
        case Preempted():
            return "preempted"
        case Interrupted() | KeyboardInterrupt():
            return "stopped"
        case _:
            return "failed"


def _words(error: BaseException) -> dict[str, Any]:
    if isinstance(error, FinesightError):
        return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    lines = str(error).strip().splitlines()
    return {"message": ": ".join((type(error).__name__, *lines[:1])), "hint": "", "exit_code": 1}
