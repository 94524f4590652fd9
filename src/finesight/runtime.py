"""What a run asks of the machine it runs on: progress a person can see, and being asked to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from finesight.errors import Interrupted, Preempted, UserError

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

KeepImages = Literal["none", "pixels", "features", "fastest"]
"""What a run keeps of images on disk: nothing, prepared pixels, the features of a frozen vision encoder, or whatever a
measurement says is fastest here, nothing included."""


Engine = Literal["ddp", "fsdp", "zero2", "zero2-offload", "zero3"]
"""How several processes train one model: each with the whole of it, or with what learns and weights spread over them
(PyTorch's FSDP2; DeepSpeed's ZeRO-2, also with optimizer states in main memory, and ZeRO-3)."""
ENGINE_VARIABLE = "FINESIGHT_ENGINE"
"""The environment variable that names the engine: `finesight launch --engine` sets it. Default: ddp."""


def process_count() -> int:
    """Return how many processes a launcher has started for this run: 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_index() -> int:
    """Return the number of this process, counted from 0."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_first_process() -> bool:
    """Return whether this process is the one that writes the run folder and speaks."""
    return process_index() == 0


def require_one_process() -> None:
    """Raise `UserError` when a launcher has started several processes for what one does alone."""
    if process_count() > 1:
        raise UserError(
            f"started as {process_count()} processes, but only `finesight run` is several processes' work",
            hint="start it without torchrun or accelerate launch",
        )


def chosen_engine() -> Engine:
    """Return how several processes train one model. Raises `UserError` for an engine that there is not."""
    name = os.environ.get(ENGINE_VARIABLE, "ddp")
    for engine in get_args(Engine):
        if name == engine:
            return cast("Engine", engine)
    raise UserError(f"{ENGINE_VARIABLE}: there is no engine {name}", hint=f"one of {', '.join(get_args(Engine))}")


def is_terminal() -> bool:
    """Return whether a person is watching the log."""
    return sys.stderr.isatty()


def say(message: str) -> None:
    """Write a line to the log (stderr), above any progress bar; of several processes the first one does."""
    if not is_first_process():
        return
    _log_console().print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(description: str, total: int) -> Iterator[ProgressBar]:
    """Show a progress bar for work of `total` pieces; on anything but a terminal, stay quiet."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = is_terminal() and is_first_process()
    with Progress(*columns, console=_log_console(), transient=True, disable=not shown) as bar:
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


CLUSTER_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What a queue sends before it takes the machine away."""


def sheltered(command: Sequence[str]) -> list[str]:
    """Return a command whose program does not notice what asks a run to stop, and ends when the run ends it.

    Ctrl-C reaches all that a terminal has started, a cluster's signal all that a job has; a helper that ended by it
    would end the run before it could save.
    """
    # What is ignored stays so in the program that takes the shell's place.
    return ["/bin/sh", "-c", 'trap "" INT TERM USR1; exec "$@"', "sh", *command]


class Asker(IntEnum):
    """Who asked a run to stop. Where several did, the greater counts: what a person stopped must not start again."""

    NOBODY = 0
    CLUSTER = 1
    PERSON = 2


class StopRequest:
    """Turns Ctrl-C, SIGTERM and SIGUSR1 into a wish that the work notices where stopping loses nothing.

    It catches a cluster's signals in its `with` block, and Ctrl-C from `listen` on. Before `listen` there is nothing to
    lose, and a signal stops at once; so does Ctrl-C the second time. Outside of a `with` block all are left alone.
    """

    def __init__(self) -> None:
        self.by = Asker.NOBODY
        """Who asked this process, or another one of the run as far as it was told of that."""
        self._was_interrupted = False
        self._is_listening = False
        self._may_listen = False
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._may_listen = True
        self._catch(*CLUSTER_SIGNALS)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether anybody has asked. Of several processes each knows of its own alone, at any moment."""
        return self.by > Asker.NOBODY

    def ask(self, by: Asker = Asker.CLUSTER) -> None:
        """Note that somebody asks. A wish that was there is never forgotten."""
        self.by = max(self.by, by)

    def listen(self) -> None:
        """Catch the signals from now on: there is something to lose."""
        if self._may_listen:
            self._is_listening = True
            self._catch(signal.SIGINT)

    def _catch(self, *signals: signal.Signals) -> None:
        self._handlers_before |= {number: signal.signal(number, self._note) for number in signals}

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_interrupt, is_news = number == signal.SIGINT, not self.asked
        if is_interrupt and self._was_interrupted:
            raise KeyboardInterrupt
        self._was_interrupted |= is_interrupt
        self.ask(Asker.PERSON if is_interrupt else Asker.CLUSTER)
        if not self._is_listening:
            raise Preempted("stopped at once")
        if is_news:
            say("Stopping at the next safe place" + ("; once more to stop at once." if is_interrupt else "."))

    def interruption(self, message: str) -> Interrupted:
        """Return what to raise: `Preempted` where no person asked."""
        return Interrupted(message) if self.by == Asker.PERSON else Preempted(message)

    def raise_if_asked(self) -> None:
        """Raise `Interrupted` when a person asked to stop, `Preempted` when a queue did."""
        if self.asked:
            raise self.interruption("stopped on request")


@cache
def _log_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
