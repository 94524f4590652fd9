"""Answers that are given to the model, for it to say how likely it finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from finesight.branches.likelihood import Likelihood
from finesight.errors import ModelError
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.models.formatter import Formatter
from finesight.schema import Example, Prediction, Turn

LikelihoodBy = Literal["mean", "sum"]
"""Over an answer's tokens, the one that ends it included. The sum is the probability of just this answer; every further
token lowers it, so it prefers short options whatever they say. The mean takes an option's length out, and prefers a
long one that goes on as expected. Letters have equally many tokens, as a rule, and are ranked alike by both."""


@dataclass(frozen=True, slots=True)
class ReferenceLikelihood:
    """How likely the model finds an example's first reference."""

    id: str
    log_likelihood: float
    """The sum over its tokens, the one that ends it included, in nats."""
    tokens: int


def options_of(example: Example) -> tuple[str, ...]:
    """Return what an example can be answered with: the options' letters where they have some, else the options."""
    return example.letters or example.choices


def with_answers(formatter: Formatter, question: Encoded, answers: Iterable[str]) -> Encoded:
    """Return a question's context with one branch for each answer, its labels the ones that training would learn.

    A branch's `example.answer` is the answer. Raises `ModelError` when an answer changes the tokens of the question:
    then another question would be measured than the one that the model is asked when it answers by itself.
    """
    (asked,) = question.branches
    singles = [_answered(formatter, question, asked, answer) for answer in answers]
    return question.with_branches(tuple(branch for single in singles for branch in single.branches))


def rows_with_answers(formatter: Formatter, question: Encoded, answers: Iterable[str]) -> list[Encoded]:
    """Return `with_answers`, or for families that share no contexts a row for each answer."""
    if not question.has_own_row:
        return [with_answers(formatter, question, answers)]
    (asked,) = question.branches
    return [_answered(formatter, question, asked, answer) for answer in answers]


def _answered(formatter: Formatter, question: Encoded, asked: Branch, answer: str) -> Encoded:
    """Return a question with one answer, its labels the ones that training would learn."""
    earlier = (replace(turn, learned=False) for turn in asked.example.turns[:-1])
    told = replace(asked.example, turns=(*earlier, Turn("assistant", answer, learned=True)))
    single = formatter.encode(told, answered=True)
    (branch,) = single.branches
    asking = branch.ids[: int(np.argmax(branch.labels != UNLEARNED))]
    if not (np.array_equal(single.prefix_ids, question.prefix_ids) and np.array_equal(asking, asked.ids)):
        raise ModelError(
            f"{told.id}: the tokens of the question change when {answer!r} is put behind it",
            hint="the chat template or the tokenizer joins the two; set answer_by: generation",
        )
    return single


class Choosing:
    """Takes the likelihoods of options as they come, and gives the choice of a question when all of its are in."""

    def __init__(self, by: LikelihoodBy) -> None:
        self._by = by
        self._found: dict[str, dict[str, float]] = {}

    def take(self, found: Sequence[tuple[Example, Likelihood]]) -> list[Prediction]:
        """Return the likeliest option of each question that is complete now; of equals, the first."""
        chosen = []
        for example, likelihood in found:
            options = options_of(example)
            scores = self._found.setdefault(example.id, {})
            scores[example.answer] = likelihood.per_token if self._by == "mean" else likelihood.log_likelihood
            if len(scores) == len(set(options)):
                del self._found[example.id]
                chosen.append(Prediction(example.id, max(options, key=scores.__getitem__)))
        return chosen
