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
BY_ENGINE = {"yes": "fits by", "barely": "barely, with nothing to spare, by", "no": "does not fit by"}
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
    if not all(stage["steps"] for stage in plan["stages"]):
        yield "No whole time: how many steps there are, only the data would tell (or train.max_steps)."
    for answer in plan["fits"]:
        yield f"{answer['gib']:g} GiB: {ANSWERS[answer['fits']]}" if plan["gpus"] == 1 else _fit_line(answer, plan)
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
    yield from engine_lines(stage, plan["gpus"])


def engine_lines(stage: Content, gpus: int) -> Iterator[str]:
    """Yield what the engines hold, and which cannot train the stage."""
    held, refused = stage["engines"], stage["engines_refused"]
    if held:
        shares = ", ".join(f"{engine} {_gib(size)}" for engine, size in held.items())
        yield f"  GiB on each of {gpus} GPUs, by rule and not by running: {shares}."
    for reason in dict.fromkeys(refused.values()):
        yield f"  {', '.join(engine for engine in refused if refused[engine] == reason)}: not with {reason}."
    if held.get("zero3", 0) > held.get("zero2", 0):
        yield (
            "  zero3 holds more than zero2 here because DeepSpeed lets it keep up to a billion weights gathered while "
            "it computes."
        )


def _fit_line(answer: Content, plan: Content) -> str:
    """Return which engines fit into GPUs of a size."""
    engines = answer["engines"]
    found = {word: [engine for engine in engines if engines[engine] == word] for word in BY_ENGINE}
    told = [f"{BY_ENGINE[word]} {', '.join(names)}" for word, names in found.items() if names]
    return f"{answer['gib']:g} GiB on each of {plan['gpus']} GPUs: {'; '.join(told)}"


def _change_lines(changes: list[Content], gib: float) -> Iterator[str]:
    if not changes:
        yield f"Nothing that was tried makes it fit into {gib:g} GiB: take a smaller model, or a larger GPU."
        return
    enough = all(change["fits"] == "yes" for change in changes)
    order = ", engines first, then the quickest" if "engine" in changes[0] else ", the quickest first"
    yield (
        f"To fit into {gib:g} GiB{order if len(changes) > 1 else ''}:"
        if enough
        else f"Not enough for {gib:g} GiB, but the nearest that was found:"
    )
    for change in changes:
        time = change["operations"]
        cost = "as many operations" if abs(time - 1) < 0.005 else f"{time:.2f}× the operations"
        settings, costs = " ".join(change["settings"]), "; ".join(change["costs"])
        yield f"  {settings}: {_gib(change['peak_gib'])} GiB, {cost}; {costs}"


def _gib(held: float) -> str:
    return f"{held:.2f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
