"""What a run asks of the machine it runs on: progress a person can see, and being asked to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from finesight.errors import Interrupted, UserError

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

KeepImages = Literal["none", "pixels", "features", "fastest"]
"""What a run keeps of images on disk: nothing, prepared pixels, the features of a frozen vision encoder, or whatever a
measurement says is fastest here, nothing included."""


def is_terminal() -> bool:
    """Return whether a person is watching the log."""
    return sys.stderr.isatty()


def say(message: str) -> None:
    """Write a line to the log (stderr), above any progress bar."""
    _log_console().print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(description: str, total: int) -> Iterator[ProgressBar]:
    """Show a progress bar for work of `total` pieces; on anything but a terminal, stay quiet."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_log_console(), transient=True, disable=not is_terminal()) as bar:
        task = bar.add_task(description, total=total)
        yield ProgressBar(lambda pieces, text: bar.update(task, advance=pieces, description=text or description))


class ProgressBar:
    """Moves a progress bar on."""

    def __init__(self, update: Callable[[int, str], None]) -> None:
        self._update = update

    def advance(self, pieces: int = 1, text: str = "") -> None:
        """Note that `pieces` more are done."""
        self._update(pieces, text)


def follow(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items` with a progress bar."""
    with progress(description, total) as bar:
        for item in items:
            yield item
            bar.advance()


def require_one_process() -> None:
    """Raise `UserError` when a launcher has started several processes: they would write one run folder together."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"started as {os.environ['WORLD_SIZE']} processes, but a run is one process on one device so far",
            hint="start it without torchrun or accelerate launch",
        )


class StopRequest:
    """Turns Ctrl-C and SIGTERM into a wish that the work notices where stopping loses nothing.

    It does so from `listen` to the end of its `with` block; before, and the second time, Ctrl-C stops at once.
    Outside of a `with` block the signals are left alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._may_listen = False
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._may_listen = True
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Catch the signals from now on: there is something to lose."""
        if not self._may_listen:
            return
        self._handlers_before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("Stopping at the next safe place; once more to stop at once.")

    def raise_if_asked(self) -> None:
        """Raise `Interrupted` when a person or a queue asked to stop."""
        if self.asked:
            raise Interrupted("stopped on request")


@cache
def _log_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
