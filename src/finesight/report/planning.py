"""A plan as `finesight plan` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from finesight.numerals import count, plural

if TYPE_CHECKING:
    from rich.table import Table

Content = Mapping[str, Any]

CAUSES = {
    "weights": "weights",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "activations": "activations",
    "logits": "logits",
    "image tower": "image tower's activations",
    "packing": "rows and their mask",
    "answer cache": "keys and values of answers",
}
ANSWERS = {"yes": "fits", "barely": "barely: nothing is to spare", "no": "does not fit"}


def plan_table(plan: Content) -> Table:
    """Return the table of the peaks: what is held at the worst moment of training and of evaluation, by cause."""
    from rich.table import Table
    from rich.text import Text

    stages = plan["stages"]
    table = Table()
    table.add_column(Text("GiB at the worst moment"))
    named = len(stages) > 1
    peaks = [stage[kind] for stage in stages for kind in ("training", "evaluation")]
    for stage in stages:
        for kind in ("training", "evaluation"):
            table.add_column(f"{stage['stage']}\n{kind}" if named else kind, justify="right")
    for cause, name in CAUSES.items():
        if any(cause in peak for peak in peaks):
            table.add_row(name, *(_gib(peak[cause]) if cause in peak else "" for peak in peaks))
    table.add_section()
    table.add_row("all", *(_gib(peak["total"]) for peak in peaks), style="bold")
    return table


def plan_lines(plan: Content, tflops: float) -> Iterator[str]:
    """Yield what is to be said below the table; hours are counted at `tflops` TFLOP/s a GPU."""
    yield _rows_line(plan["rows"])
    for stage in plan["stages"]:
        yield from _stage_lines(stage, plan, tflops)
    each = f" on each of {plan['gpus']} GPUs, by ddp" if plan["gpus"] > 1 else ""
    for answer in plan["fits"]:
        yield f"{answer['gib']:g} GB{each}: {ANSWERS[answer['fits']]}"
    if "changes" in plan:
        yield from _change_lines(plan["changes"], plan["gpu_memory_gib"])


def _rows_line(rows: Content) -> str:
    if rows["from"] == "data":
        left_out = f" ({count(rows['left_out'])} longer than data.max_length left out)" if rows["left_out"] else ""
        return (
            f"Rows: the recipe's own, {plural(rows['examples'], 'example')} to learn from{left_out}, the longest of "
            f"{plural(rows['longest_tokens'], 'token')}."
        )
    image = f", {count(rows['image_tokens'])} of them an image" if rows["image_tokens"] else ""
    if "picture_pixels" in rows:
        width, height = rows["picture_pixels"]
        image += f" (of {count(width)} × {count(height)} pixels)"
    reason, *others = rows["because"].splitlines()
    more = f" (and {count(len(others))} more)" if others else ""
    return (
        f"Rows: ASSUMED, each of data.max_length, {plural(rows['tokens'], 'token')}{image}, "
        f"{count(rows['learned_tokens'])} learned. The recipe's own cannot be read: {reason}{more}"
    )


def _stage_lines(stage: Content, plan: Content, tflops: float) -> Iterator[str]:
    batch, asked = stage["largest_batch"], stage["largest_evaluation_batch"]
    yield (
        f"{stage['stage']}: at most {plural(batch['rows'], 'row')} of {plural(batch['tokens'], 'token')} at once "
        f"({count(batch['learned_tokens'])} learned), {plural(stage['batches_a_step'], 'time')} a step; evaluating, "
        f"{plural(asked['rows'], 'row')} of {count(asked['tokens'])}."
    )
    rate = tflops * plan["gpus"]
    seconds = stage["teraflops_a_step"] / rate
    a_step = f"{stage['teraflops_a_step']:,.2f} TFLOP a step: {_duration(seconds)}"
    at = f"at {tflops:g} TFLOP/s" + (f" on each of {plan['gpus']} GPUs" if plan["gpus"] > 1 else "")
    whole = f", {_duration(seconds * stage['steps'])} for {plural(stage['steps'], 'step')}" if stage["steps"] else ""
    yield f"  {a_step}{whole} {at} (--tflops), without validations."
    if stage["engines"]:
        shares = ", ".join(f"{engine} {_gib(held)}" for engine, held in stage["engines"].items())
        yield f"  GiB on each of {plan['gpus']} GPUs, by rule and not by running: {shares}."


def _change_lines(changes: list[Content], gib: float) -> Iterator[str]:
    if not changes:
        yield f"Nothing that was tried makes it fit into {gib:g} GB: take a smaller model, or a larger GPU."
        return
    enough = all(change["fits"] == "yes" for change in changes)
    yield (
        f"To fit into {gib:g} GB{', the quickest first' if len(changes) > 1 else ''}:"
        if enough
        else (f"Not enough for {gib:g} GB, but the nearest that was found:")
    )
    for change in changes:
        time = change["operations"]
        cost = "as many operations" if abs(time - 1) < 0.005 else f"{time:.2f}× the operations"
        settings, costs = " and ".join(change["settings"]), "; ".join(change["costs"])
        yield f"  {settings}: {_gib(change['peak_gib'])} GiB, {cost}; {costs}"


def _gib(held: float) -> str:
    return f"{held:.2f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
