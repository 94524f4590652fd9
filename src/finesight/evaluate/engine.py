"""The model as a predictor: a context is encoded once, and all its questions are answered together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from finesight.branches.answer import answer_branches
from finesight.branches.contexts import batch_rows, divide_context, share_contexts
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.schema import Prediction


class BlankImage:
    """Stands for an image whose content is taken away: all blank images are one."""

    name = "blank"

    def open(self) -> Image.Image:
        """Raise: there is nothing to see; `Formatter.pixels` makes what the model gets."""
        raise OSError("a blank image has no file")

    def content_hash(self) -> str:
        """Return the same for every blank image, so that all questions share one context."""
        return "blank"


@dataclass(frozen=True)
class Engine:
    """Answers questions with a model, in batches of contexts within a budget of tokens."""

    loaded: Loaded
    max_tokens: int
    """Tokens that may be in the model at once, answers included."""
    without_context: bool = False
    """Answer from the question alone: every image is replaced by its mean, every text taken away. What is still right
    was guessed."""

    def answer(self, questions: Sequence[Encoded], *, max_new_tokens: int) -> Iterator[list[Prediction]]:
        """Yield the greedy answers, a batch of contexts at a time, in an order of the engine's choosing.

        `questions` are contexts with one branch that ends where the answer begins.
        """
        contexts = share_contexts(map(self._question_alone, questions) if self.without_context else questions)
        rows = [
            row
            for context in contexts
            for row in divide_context(context, max_tokens=self.max_tokens, reserve=max_new_tokens)
        ]
        for batch in batch_rows(rows, max_tokens=self.max_tokens, reserve=max_new_tokens):
            yield self._answer_batch(batch, max_new_tokens)

    def _answer_batch(self, rows: Sequence[Encoded], max_new_tokens: int) -> list[Prediction]:
        model, formatter = self.loaded.model, self.loaded.formatter
        images = [image for row in rows for image in row.images]
        pixels = formatter.pixels(images, blank=self.without_context)
        answers = answer_branches(
            model,
            rows,
            pixels.to(self.loaded.device, model.dtype) if pixels is not None else None,
            max_new_tokens=max_new_tokens,
            end_ids=formatter.end_ids,
            padding_id=formatter.tokenizer.pad_token_id,
            placeholder_id=formatter.placeholder_id,
            dtype=model.dtype,
            device=self.loaded.device,
        )
        return [
            Prediction(branch.example.id, formatter.decode(answer.ids), "stop" if answer.ended else "length")
            for row, row_answers in zip(rows, answers, strict=True)
            for branch, answer in zip(row.branches, row_answers, strict=True)
        ]

    def _question_alone(self, single: Encoded) -> Encoded:
        example = single.branches[0].example
        if example.context:
            single = self.loaded.formatter.encode(replace(example, context=""), answered=False)
        return Encoded(single.prefix_ids, tuple(BlankImage() for _ in single.images), single.branches)
