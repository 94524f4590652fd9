"""What a cluster sends before it takes the machine away: saved, and an exit code that says `resume me`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing import active_children, current_process
from pathlib import Path
from typing import Any

import pytest
from small_runs import RECIPE, Finesight, WriteRecipe, losses, read_json_lines, scores, whole

from finesight import checking
from finesight.errors import Interrupted, Preempted
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.train import validation

FEW_TOKENS = 64
SMALL = ("--max-tokens-per-device", FEW_TOKENS)
AHEAD = {**RECIPE["train"], "dataloader_num_workers": 1}
RESUME_ME = 75
MORE = {"evaluate": [
    {"name": "held_out", "from": "test", "max_new_tokens": 6}, {"name": "watched", "from": "validation"},
]}  # fmt: skip


Stop = tuple[signal.Signals, Any, str, int, str]
"""A signal, before the how manyth call of what it comes in a start, and what the run then says."""
STOPS: Sequence[Stop] = (
    (signal.SIGTERM, RunDir, "append_records", 2, "stopped on request"),
    (signal.SIGUSR1, RunDir, "append_metrics", 2, "stopped at step 3 of 12 of stage tune"),
    (signal.SIGUSR1, validation, "make_batch", 2, "stopped at step 4 of 12 of stage tune"),
    # The validation that was put off is made up for, and put off once more.
    (signal.SIGTERM, validation, "make_batch", 2, "stopped on request"),
    (signal.SIGTERM, RunDir, "append_metrics", 10, "stopped at step 12 of 12 of stage tune"),
)
"""While answering, training, validating, validating again, in the last step."""


def at_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int, which: signal.Signals) -> None:
    """Before the `number`th call of `owner.name`, send a signal to this process and to those that read ahead for it."""
    real, calls = getattr(owner, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            for process in (*active_children(), current_process()):
                assert process.pid is not None
                os.kill(process.pid, which)
        return real(*args, **kwargs)

    patch.setattr(owner, name, counted)


def test_a_warned_run_saves_and_asks_to_be_resumed(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    undisturbed, run, small = whole(tmp_path, MORE, max_tokens=FEW_TOKENS), tmp_path / "stopped", SMALL
    kept: dict[Path, list[Any]] = {}
    arguments: tuple[object, ...] = (write_recipe(**MORE, train=AHEAD), "--output", run)
    for which, owner, name, number, told in STOPS:
        with pytest.MonkeyPatch.context() as patch:
            at_call(patch, owner, name, number, which)
            ended = finesight("run", *arguments, *small)
        assert ended.code == RESUME_ME, ended.stderr
        assert ended.stderr.splitlines()[-2:] == [told, f"hint: go on with: finesight run --resume {run}"]
        assert ended.stderr.count("Stopping at the next safe place") == 1, "processes that read ahead are silent"
        assert all(read_json_lines(path)[: len(lines)] == lines for path, lines in kept.items()), (
            "nothing is done twice"
        )
        kept = {path: read_json_lines(path) for path in run.rglob("*.jsonl")}
        arguments = ("--resume", run)
    resumed = finesight("run", *arguments, *small)
    assert resumed.code == 0, resumed.stderr
    assert losses(run) == losses(undisturbed)
    assert scores(run) == scores(undisturbed)
    best = "checkpoints/tune/best.json"
    assert (run / best).read_bytes() == (undisturbed / best).read_bytes()


def test_before_anything_is_written_a_warning_stops_at_once(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, checking, "tokenize", 1, signal.SIGTERM)
        ended = finesight("run", write_recipe(), "--output", tmp_path / "run")
    assert ended.code == RESUME_ME
    assert ended.stderr.endswith("\nstopped before anything was written\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("signals", "kind"),
    [
        ([signal.SIGINT], Interrupted),
        ([signal.SIGTERM], Preempted),
        ([signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM], Preempted),
        ([signal.SIGTERM, signal.SIGINT], Interrupted),
    ],
)
def test_who_asked_decides_the_exit_code(signals: list[signal.Signals], kind: type[Interrupted]) -> None:
    before: list[Callable[..., Any] | int | None] = [signal.getsignal(number) for number in signals]
    with StopRequest() as stop:
        stop.listen()
        for number in signals:
            signal.raise_signal(number)
        with pytest.raises(Interrupted) as raised:
            stop.raise_if_asked()
    assert type(raised.value) is kind
    assert [signal.getsignal(number) for number in signals] == before
