"""Whether two models are one: the same questions, answered and weighed by both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finesight.evaluate.engine import Engine
from finesight.evaluate.measure import TokenizedTask
from finesight.models.loaded import Loaded
from finesight.runtime import progress

EXACT_NATS = 1e-3
"""How far apart two models in float32 may find a right answer, in nats a token."""
ROUNDED_NATS, ROUNDED_NATS_ON_AVERAGE = 0.25, 0.02
"""The same where weights were rounded to 16 bits: of any answer, and on average. Rounding tips a greedy answer now and
then where two words are equally likely, and in a long answer often. The tuned starter, on 400 questions: in bfloat16
0.033 at most and 0.006 on average; with a tenth of what its adapters learned lost, 0.32 and 0.073."""


@dataclass(frozen=True)
class Answered:
    """What a model makes of a question."""

    text: str
    """Its own greedy answer."""
    nats_per_token: float
    """How likely it finds the right answer: the logarithm, a mean over its tokens."""


@dataclass(frozen=True)
class Agreement:
    """How two models compare on the same questions."""

    questions: int
    same: int
    """Questions with the same answer, to the letter."""
    nats_apart: float
    """How far apart they find the right answers, in nats a token, over all questions."""
    disagreed: tuple[tuple[str, Answered, Answered], ...]
    """Questions, by task and id, on which they are not one model, with both answers."""

    @property
    def holds(self) -> bool:
        """Whether they are one model, as far as these questions can tell."""
        return not self.disagreed


def answer_both_ways(loaded: Loaded, tasks: Sequence[TokenizedTask], *, max_tokens: int | None) -> dict[str, Answered]:
    """Return what a model answers to each question, greedily, and how likely it finds the right answer."""
    engine = Engine(loaded, max_tokens)
    answered: dict[str, Answered] = {}
    with progress("answering", sum(len(each.questions) for each in tasks)) as bar:
        for each in tasks:
            name, task = each.task.name, each.task
            texts: dict[str, str] = {}
            for batch in engine.answer(each.questions, max_new_tokens=task.max_new_tokens, stop=task.stop):
                texts |= {prediction.id: prediction.text for prediction in batch}
                bar.advance(len(batch))
            for found in engine.score_references(each.questions):
                answered |= {
                    f"{name}: {one.id}": Answered(texts[one.id], one.log_likelihood / one.tokens) for one in found
                }
    return answered


def compare_answers(ours: Mapping[str, Answered], theirs: Mapping[str, Answered], *, rounded: bool) -> Agreement:
    """Return how two models' answers to the same questions compare.

    They disagree on a question when they find the right answer more than `EXACT_NATS` apart, or write another one. With
    `rounded` (weights rounded to 16 bits, or unpacked from 4) they may write another one, a close call, and be further
    apart: `ROUNDED_NATS` where they are within `ROUNDED_NATS_ON_AVERAGE`, else no further than that.
    """
    apart = {name: abs(ours[name].nats_per_token - theirs[name].nats_per_token) for name in ours}
    average = math.fsum(apart.values()) / len(apart)
    same = {name for name in ours if ours[name].text == theirs[name].text}
    allowed = EXACT_NATS
    if rounded:
        allowed = ROUNDED_NATS if average <= ROUNDED_NATS_ON_AVERAGE else ROUNDED_NATS_ON_AVERAGE
    disagreed = [
        name
        for name, nats in apart.items()
        # Written so that what is not a number disagrees.
        if not nats <= allowed or (name not in same and not rounded)
    ]
    return Agreement(
        questions=len(ours),
        same=len(same),
        nats_apart=average,
        disagreed=tuple((name, ours[name], theirs[name]) for name in disagreed),
    )
