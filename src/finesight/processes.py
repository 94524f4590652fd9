"""Several processes at one run: how they meet, agree and end together. One process alone needs none of it.

Everything but `joined` is for all processes at the same point of the program, or those that come wait for the others
without end. torch is imported only where there are several.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from finesight.errors import EndedElsewhere, FinesightError, UserError
from finesight.runtime import ENGINE_VARIABLE, Asker, StopRequest, chosen_engine, is_first_process, process_count

if TYPE_CHECKING:
    import torch
    from torch.distributed.distributed_c10d import Store

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: as long as the first may read data that it has to read alone."""
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_FIRST, _TOLD = "the first to meet an error", "what it tells"
_GLOO = "gloo/transport"
"""The part of gloo that is named in the RuntimeError of a process whose partner is gone."""
_is_by_itself = False


class Others:
    """The other processes of the run, as far as errors go."""

    def __init__(self, store: Store | None) -> None:
        """`store` is where processes leave word for each other; None where there is but one."""
        self._store = store

    @contextmanager
    def ending_together(self, *, but: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """Let the first process that meets an error raise it, and every other one `EndedElsewhere` with its words.

        What others meet is most often but that the first has gone. `but` are errors that each raises as its own.
        """
        try:
            yield
        except but:
            raise
        except BaseException as error:
            if self._store is None:
                raise
            told = killed if (killed := _killed(error)) else error
            if elsewhere := _met_by_another(self._store, told):
                raise elsewhere from error
            if killed:
                raise killed from error
            raise


@contextmanager
def joined() -> Iterator[Others]:
    """Join the processes that a launcher has started for this run; alone, do nothing.

    When one of them ends on an error, all do, and one tells it. Raises `UserError` when the environment does not say
    where they meet.
    """
    if process_count() == 1 and chosen_engine() == "ddp":
        yield Others(None)
        return
    # When one process ends on an error, the C++ of the others prints its stack before they can be told why.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore

    store = _meeting_place()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        # Objects are exchanged through main memory, wherever the model computes.
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=PrefixStore("run", store),
        rank=int(os.environ["RANK"]),
        world_size=process_count(),
        timeout=PATIENCE,
    )
    others = Others(store)
    with others.ending_together():
        yield others
        wait_for_all()
    distributed.destroy_process_group()
    if not is_first_process():
        # It has nothing left to do, and Python 3.11 aborts one whose gloo threads are still letting go of a tensor.
        atexit.register(os._exit, 0)


def launch_options() -> list[str]:
    """Return what `finesight launch` starts processes like these on this machine by; nothing where one is alone."""
    engine = chosen_engine()
    if process_count() == 1 and engine == "ddp":
        return []
    import torch

    here = os.environ.get("LOCAL_WORLD_SIZE", str(process_count()))
    spreading = [] if engine == "ddp" else ["--engine", engine]
    return ["--gpus" if torch.cuda.is_available() else "--processes", here, *spreading]


def _meeting_place() -> Store:
    if lacking := [name for name in _NEEDED if name not in os.environ]:
        engine = chosen_engine()
        asked = f"WORLD_SIZE={process_count()}" if process_count() > 1 else f"{ENGINE_VARIABLE}={engine}"
        raise UserError(
            f"{asked} is for processes that a launcher starts, but {lacking[0]} is not set: they cannot find each "
            "other",
            hint=f"start them with `finesight launch --engine {engine}` or torchrun; for one process, unset both "
            f"WORLD_SIZE and {ENGINE_VARIABLE}",
        )
    from torch.distributed.rendezvous import rendezvous

    store: Store
    store, _, _ = next(rendezvous("env://"))
    return store


def _met_by_another(store: Store, error: BaseException) -> EndedElsewhere | None:
    """Return what to raise where another process was the first to meet an error; None where this one is."""
    own = error if isinstance(error, FinesightError) else FinesightError(f"{type(error).__name__}: {error}")
    me = os.environ["RANK"]
    try:
        if store.compare_set(_FIRST, "", me).decode() == me:
            store.set(_TOLD, json.dumps([own.exit_code, own.message]))
            return None
        exit_code, message = json.loads(store.get(_TOLD))
    except RuntimeError:
        # The store went with the process that kept it, which ended first.
        exit_code, message = own.exit_code, "it has gone"
    return EndedElsewhere(exit_code, f"another process of the run has ended it: {message}")


def _killed(error: BaseException) -> UserError | None:
    """Return what a person reads where a process finds another one gone; None for an error of another kind.

    One that ends by an error leaves word before it goes, so the first to find that nobody has left any knows why.
    """
    from torch.distributed import DistNetworkError

    if not isinstance(error, DistNetworkError) and not (isinstance(error, RuntimeError) and _GLOO in str(error)):
        return None
    return UserError(
        "another process of the run has ended without a word: it was killed, or its machine is gone",
        hint="most often memory ran out: lower --max-tokens-per-device, or take an engine that spreads the model",
    )


@contextmanager
def _by_itself() -> Iterator[None]:
    """Forbid everything that is for all processes: in the block there is but one, and the others would never come."""
    global _is_by_itself
    before, _is_by_itself = _is_by_itself, True
    try:
        yield
    finally:
        _is_by_itself = before


def _require_all() -> None:
    # Where there is one process too: a test of one then finds what would wait without end on two.
    assert not _is_by_itself, "for all processes at once, and called where but one of them is"


def gathered(value: Item) -> list[Item]:
    """Return the values that all processes give, in the order of the processes."""
    _require_all()
    if process_count() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values


def agree_to_stop(stop: StopRequest) -> bool:
    """Return whether any process was asked to stop: the same on all of them, though a signal may come in between."""
    by = max(gathered(stop.by))
    stop.ask(by)
    return by > Asker.NOBODY


def once(make: Callable[[], Result]) -> Result:
    """Return what the first process makes, on all of them. It must be picklable where there are several.

    `make` does nothing that is for all processes.
    """
    _require_all()
    made: list[Any] = [None]
    if is_first_process():
        with _by_itself():
            made = [make()]
    if process_count() > 1:
        from torch import distributed

        distributed.broadcast_object_list(made, src=0)
    result: Result = made[0]
    return result


def wait_for_all() -> None:
    """Wait until all processes have come here."""
    gathered(None)


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the first process through the block, then the others: they find what it has put into a cache."""
    if not is_first_process():
        wait_for_all()
    with _by_itself():
        yield
    if is_first_process():
        wait_for_all()


def in_rounds(pieces: Iterable[list[Item]], stop: StopRequest) -> Iterator[list[Item]]:
    """Yield, on every process, what all of them have in each round, until none has anything left.

    When a round has been dealt with, raises `Interrupted` on all of them if one was asked to stop.
    """
    if process_count() == 1:
        for piece in pieces:
            yield piece
            stop.raise_if_asked()
        return
    own = iter(pieces)
    while True:
        rounds = gathered((next(own, None), stop.by))
        if all(given is None for given, _ in rounds):
            return
        yield [item for given, _ in rounds for item in given or []]
        # By what was told then, and by nothing that has come since: the others do not know of that.
        if (by := max(asker for _, asker in rounds)) > Asker.NOBODY:
            stop.ask(by)
            stop.raise_if_asked()


def make_alike(tensors: Iterable[torch.Tensor]) -> None:
    """Give tensors on every process the values that they have on the first."""
    _require_all()
    if process_count() == 1:
        return
    from torch import distributed

    for tensor in tensors:
        distributed.broadcast(tensor.detach(), src=0)
