"""A snapshot of a run as a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from finesight import numerals
from finesight.report.files import Content
from finesight.report.terminal import verdict_lines
from finesight.report.watch.snapshot import Snapshot
from finesight.report.watch.training import Training

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

MOST_GUARDS = 5
"""Warnings shown: the last ones."""
BLOCKS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 24
_COLOURS = {
    "not begun": "yellow", "running": "green", "preempted": "yellow", "stopped": "yellow", "failed": "red",
    "gone": "red", "finished": "green",
}  # fmt: skip
_ACTIONS = {"note": "Noted at", "skip": "Left out:", "stop": "Stopped at"}
_MARKS = {"done": ("✓", "green"), "partly": ("▸", "yellow"), "not yet": ("·", "dim")}


def view(snapshot: Snapshot) -> RenderableType:
    """Return the view of a run, for any width of terminal."""
    from rich.console import Group

    return Group(*_pieces(snapshot))


def _pieces(snapshot: Snapshot) -> Iterator[RenderableType]:
    from rich.text import Text

    yield _heading(snapshot)
    if snapshot.steps:
        yield Text()
        yield _steps_table(snapshot)
    if snapshot.training and snapshot.state != "finished":
        yield Text()
        yield from _training(snapshot.training, is_running=snapshot.state == "running")
    if snapshot.guards:
        yield Text()
        yield from _guards(snapshot.guards, in_stages=len({guard["stage"] for guard in snapshot.guards}) > 1)
    if snapshot.verdict and snapshot.state == "finished":
        yield Text("\n".join(["", *verdict_lines(snapshot.verdict)]))
    if snapshot.hint:
        yield Text(f"\n{snapshot.hint}")


def _heading(snapshot: Snapshot) -> Text:
    from rich.text import Text

    state = snapshot.state + (": " if snapshot.words else "")
    kind = " (rehearsal)" if snapshot.is_rehearsal else ""
    name, path = f"{snapshot.name}{kind}", str(snapshot.path)
    return Text.assemble(
        (name, "bold"), f"  {path}\n" if path != name else "\n", (state, _COLOURS[snapshot.state]), snapshot.words
    )


def _guards(guards: Sequence[Content], *, in_stages: bool) -> Iterator[Text]:
    """Yield what guards have met last, and how much before; a step's stage where they have met something in several."""
    from rich.text import Text

    if (before := len(guards) - MOST_GUARDS) > 0:
        yield Text(f"Guards have met {numerals.count(before)} more before, which metrics.jsonl tells.", style="dim")
    for guard in guards[-MOST_GUARDS:]:
        where = f"{_ACTIONS[guard['action']]} step {numerals.count(guard['step'])}"
        stage = f" of {guard['stage']}" if in_stages else ""
        yield Text(f"{where}{stage}: {guard['message']}", style="yellow" if guard["action"] == "note" else "red")


def _steps_table(snapshot: Snapshot) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    for step in snapshot.steps:
        mark, style = _MARKS[step.state]
        table.add_row(Text(mark, style=style), Text(step.name), Text(step.detail, style="dim"))
    return table


def _training(training: Training, *, is_running: bool) -> Iterator[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    if training.planned_steps and not training.is_over:
        # Without colour the bar is drawn as far as it has come and no further: the share says where it ends.
        row = Table.grid(padding=(0, 2, 0, 0))
        share = f"{training.step / training.planned_steps:.0%}"
        row.add_row(ProgressBar(total=training.planned_steps, completed=training.step, width=60), Text(share))
        yield row
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    for name, words in _figures(training, is_running=is_running):
        table.add_row(name, Text(words))
    yield table


def _figures(training: Training, *, is_running: bool) -> Iterator[tuple[str, str]]:
    planned = f" of {numerals.count(training.planned_steps)}" if training.planned_steps else ""
    yield training.stage, f"step {numerals.count(training.step)}{planned}, epoch {training.epoch:.2f}"
    if training.losses:
        yield "Loss", _curve(training.losses)
    if training.validation_losses:
        yield "Validation loss", _curve(training.validation_losses)
    for name, score in training.scores.items():
        yield name, f"{score:.3f} at the last validation"
    if best := training.best:
        yield "Best so far", f"{best['metric']} {best['score']:.4f}, at step {numerals.count(best['step'])}"
    if training.learning_rate:
        yield "Learning rate", ", ".join(f"{part} {rate:.3g}" for part, rate in training.learning_rate.items())
    if training.grad_norm is not None:
        yield "Gradient norm", f"{training.grad_norm:.3g}"
    if training.questions_per_second is not None and training.tokens_per_second is not None:
        yield (
            "Speed",
            f"{training.questions_per_second:,.1f} questions, {training.tokens_per_second:,.0f} tokens a second",
        )
    if training.peak_memory_gib is not None:
        yield "Memory", f"{training.peak_memory_gib:.2f} GiB at most"
    left = training.seconds_left
    yield "Time", duration(training.seconds) + (f", {duration(left)} left" if is_running and left else "")


def _curve(points: Sequence[tuple[int, float]]) -> str:
    """Return the last loss, and all of them as blocks."""
    return f"{numerals.loss(points[-1][1])}  {blocks([loss for _, loss in points], CURVE_WIDTH)}"


def blocks(values: Sequence[float], width: int) -> str:
    """Return values as blocks of their height, at most `width`: each the last of its stretch; × is no number."""
    if len(values) > width:
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    tallest = len(BLOCKS) - 1

    def block(value: float) -> str:
        if not math.isfinite(value):
            return "×"
        return BLOCKS[round(tallest * (value - low) / (high - low)) if high > low else 0]

    return "".join(map(block, values))


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `2 h 05 min`, `3 min 10 s`, `12 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
