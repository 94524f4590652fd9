"""Copies of a question with its options rotated: who answers by the letter's place is found out (MMBench)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finesight.data.sources.faults import Faults
from finesight.schema import Example

_MOST_DIGITS = 18
"""Python refuses to read far longer numbers."""


def mark_rotations(examples: Sequence[Example], stem: str, step: int, faults: Faults) -> list[Example]:
    """Return the examples, copies now naming the question that they repeat, and in its group.

    The number behind `stem` in a copy's id is that of its question, which is below `step`, plus a multiple of `step`.
    Ids that are no numbers, and copies whose question is not there, are noted in `faults`.
    """
    numbers = [_number(example.id.removeprefix(f"{stem}:"), faults) for example in examples]
    by_number = {number: example for number, example in zip(numbers, examples, strict=True) if number is not None}
    marked = []
    for number, example in zip(numbers, examples, strict=True):
        if number is None or number < step:
            marked.append(example)
        elif base := by_number.get(number % step):
            marked.append(replace(example, rotation_of=base.id, group=base.group))
        else:
            hint = f"circular_step: {step} says that {number} repeats {number % step}, which is not in the data"
            faults.add("the question of a copy is missing", f"{number} repeats {number % step}", hint=hint)
    return marked


def _number(name: str, faults: Faults) -> int | None:
    if name.isdecimal() and len(name) <= _MOST_DIGITS:
        return int(name)
    faults.add("the id is no whole number, so circular_step tells no copies", name)
    return None
