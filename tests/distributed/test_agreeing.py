"""Several processes agree on when to stop, whenever a signal comes; what one does alone calls for no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from finesight import processes
from finesight.errors import Interrupted, Preempted
from finesight.processes import agree_to_stop, first_goes_first, gathered, in_rounds, make_alike, once
from finesight.runtime import Asker, StopRequest

Exchange = Callable[[Any], list[Any]]


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    """A request that listens."""
    with StopRequest() as request:
        request.listen()
        yield request


def two_processes(patch: pytest.MonkeyPatch, exchange: Exchange) -> None:
    """Let this process be one of two; `exchange` stands for what they tell each other."""
    patch.setattr(processes, "process_count", lambda: 2)
    patch.setattr(processes, "gathered", exchange)


def with_signal(which: signal.Signals, other: Any) -> Exchange:
    """An exchange with another process, which tells `other`, while a signal arrives here."""

    def exchange(value: Any) -> list[Any]:
        both = [value, other]
        os.kill(os.getpid(), which)
        return both

    return exchange


def test_a_signal_that_comes_while_they_agree_is_noticed_the_next_time(
    stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_processes(monkeypatch, with_signal(signal.SIGTERM, Asker.NOBODY))
    assert not agree_to_stop(stop), "the other does not know of it yet"
    assert stop.asked
    two_processes(monkeypatch, lambda own: [own, Asker.NOBODY])
    assert agree_to_stop(stop)


def test_a_round_in_which_a_signal_comes_is_followed_by_one_more(
    stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_processes(monkeypatch, with_signal(signal.SIGUSR1, (["d"], Asker.NOBODY)))
    rounds = in_rounds(iter([["a"], ["b"], ["c"]]), stop)
    assert next(rounds) == ["a", "d"]
    assert next(rounds) == ["b", "d"], "the other does not know of it yet"
    with pytest.raises(Preempted, match="stopped on request"):
        next(rounds)


@pytest.mark.parametrize(
    ("here", "there", "kind"),
    [
        (Asker.NOBODY, Asker.CLUSTER, Preempted),
        (Asker.CLUSTER, Asker.PERSON, Interrupted),
        (Asker.PERSON, Asker.NOBODY, Interrupted),
    ],
)
def test_all_end_for_the_same_reason(
    here: Asker, there: Asker, kind: type[Interrupted], stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop.ask(here)
    two_processes(monkeypatch, lambda own: [own, there])
    assert agree_to_stop(stop)
    assert type(stop.interruption("stopped")) is kind


def test_ctrl_c_is_not_the_second_one_because_another_process_had_the_first(
    stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_processes(monkeypatch, lambda own: [own, Asker.PERSON])
    assert agree_to_stop(stop)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "call",
    [lambda: gathered(1), lambda: once(int), lambda: make_alike([]), lambda: agree_to_stop(StopRequest())],
    ids=["gathered", "once", "make_alike", "agree_to_stop"],
)
def test_what_is_for_all_is_refused_where_there_is_but_one(call: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="for all processes at once"):
        once(call)
    with pytest.raises(AssertionError, match="for all processes at once"), first_goes_first():
        call()
    call()
