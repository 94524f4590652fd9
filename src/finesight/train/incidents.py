"""What can go wrong in a step, and how it is recognised. Nothing is written here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Action = Literal["note", "skip", "stop"]

WINDOW = 50
"""Steps whose median says what is usual."""
ENOUGH = 10
"""Steps before anything can be called unusual."""
ODD_SHARE = 10.0
"""A share of learned tokens is odd from so many times the usual, or from so small a part of it."""
STARVED = 0.3
"""Share of the time that may be spent waiting for data."""
STARVED_SECONDS = 5.0
"""Waiting for less than this is nobody's concern."""
KNOWN_BY_HEART = 0.01
"""Nats a token, below which a loss may well become 0."""
MOST_OVERFLOWS = 20
"""Steps in a row that the scaler of float16 may leave out: it halves the scale each time, by a million in the end."""


@dataclass(frozen=True)
class Incident:
    """One thing that went wrong."""

    what: str
    """A short name, as `loss` or `gradient spike`."""
    action: Action
    message: str
    causes: tuple[str, ...] = ()
    """The likely ones, the likeliest first."""
    keeps_batch: bool = True
    """Whether the batch is written into the run folder."""


@dataclass
class Usual:
    """The last values of a quantity, and how unusual another is."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def times(self, value: float) -> float:
        """Return how many times the median `value` is; 1 while too little is known."""
        if len(self.values) < ENOUGH or not (middle := median(self.values)):
            return 1.0
        return value / middle

    def add(self, value: float) -> None:
        """Remember a value."""
        self.values.append(value)


@dataclass
class Waiting:
    """How long this start of the training has waited for its data, and how long it has computed."""

    waited_seconds: float = 0.0
    computed_seconds: float = 0.0
    steps: int = 0
    has_begun: bool = False

    def add_wait(self, seconds: float) -> None:
        """Note a wait. The first one is left out: the processes that read ahead begin in it."""
        self.waited_seconds += seconds if self.has_begun else 0.0
        self.has_begun = True

    def add_step(self, seconds: float) -> None:
        """Note a step that took so long to compute."""
        self.computed_seconds += seconds
        self.steps += 1

    def starves(self) -> bool:
        """Return whether waiting takes a share that is worth a word."""
        total = self.waited_seconds + self.computed_seconds
        return self.steps >= ENOUGH and self.waited_seconds > STARVED_SECONDS and self.waited_seconds > STARVED * total

    def describe(self) -> Incident:
        """Return what there is to say."""
        share = self.waited_seconds / (self.waited_seconds + self.computed_seconds)
        return Incident(
            "waiting for data",
            "note",
            f"{100 * share:.0f} % of the time is spent waiting for images to be read and decoded",
            ("raise train.dataloader_num_workers, or prepare images once: finesight run --keep-images fastest",),
            keeps_batch=False,
        )


def is_bad_loss(loss: float, usual: Usual) -> bool:
    """Return whether a loss teaches nothing: it is no number, or exactly 0 where those before it were not near that.

    What a model knows by heart may come to 0 in float32, little by little.
    """
    near_zero = len(usual.values) >= ENOUGH and median(usual.values) < KNOWN_BY_HEART
    return not math.isfinite(loss) or (loss == 0.0 and not near_zero)


def causes_of_bad_loss(
    loss: float, branches: Sequence[dict[str, Any]], *, broken: Iterable[str], computing: str, attention: str
) -> tuple[str, ...]:
    """Return the likely causes of a bad loss, with remedies that are not in force already.

    `branches` are the questions of the step with their losses, `broken` the weights that are no numbers, `computing`
    the number format, `attention` the implementation (`sdpa`, `eager`).
    """
    if loss == 0.0:
        return (
            "what is learned stands in the question already, so that nothing is left to learn: look at the batch",
            "something between model and loss has replaced a loss that is no number by 0",
        )
    if named := next(iter(broken), ""):
        return (
            f"the weights were no numbers before this step ({named}): a learning rate that is too high for them, or "
            "float16, in the steps before; go back to a checkpoint with a lower learning rate",
        )
    bad = [branch for branch in branches if branch["loss"] is not None and not math.isfinite(branch["loss"])]
    # The smallest number of float32, which masks are made of, is -inf in the half formats.
    sees_nothing = attention == "eager" and computing != "float32"
    number_format = ["the number format: compute in float32 or bfloat16"] if computing == "float16" else []
    if bad and len(bad) < len(branches):
        first = ", ".join(branch["id"] for branch in bad[:3])
        data = (
            f"the data: {len(bad)} of the step's {len(branches)} questions have such a loss ({first}), the others do "
            "not; look at their images and tokens"
        )
        padding = (
            f"padding: rows of a batch are of different length, and a query that sees nothing is no number in eager "
            f"attention ({computing}); try model.attn_implementation: sdpa"
        )
        return (data, *number_format, padding) if sees_nothing else (data, *number_format)
    return (
        *number_format,
        "the learning rate: lower it",
        *([_MASK.format(computing=computing)] if sees_nothing else []),
    )


_MASK = (
    "the attention mask: the smallest number of float32 is -inf in {computing}, and a query that sees nothing is no "
    "number; try model.attn_implementation: sdpa"
)
