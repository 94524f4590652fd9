"""Whoever answers: a model, a captioner, a program. Evaluation asks all of them alike, and keeps what they say."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from finesight.schema import Example, Prediction


class Predictor(Protocol):
    """Answers examples."""

    def answer(self, examples: Sequence[Example]) -> Generator[list[Prediction], None, None]:
        """Yield answers, some at a time, one to each example, in any order.

        An empty list says that nothing has come for a while: whoever asks may stop there. Closing the generator gives
        back what it holds.
        """
        ...
