"""The model as a predictor: a context is encoded once, and all its questions are answered together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from finesight.branches.answer import answer_branches
from finesight.branches.contexts import join_beginnings, share_contexts
from finesight.branches.likelihood import Likelihood, find_likelihoods
from finesight.branches.own_rows import answer_own_rows
from finesight.evaluate.budget import TokenBudget
from finesight.evaluate.likelihood import Choosing, LikelihoodBy, ReferenceLikelihood, options_of, rows_with_answers
from finesight.evaluate.stopping import StopStrings
from finesight.models.blank_image import BlankImage
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.models.pixels import Pixels, move
from finesight.schema import Example, Prediction, Sampling


@dataclass
class Engine:
    """Answers questions with a model, in batches of contexts within a budget of tokens.

    Questions are contexts with one branch that ends where the answer begins. Answers come a batch at a time, in an
    order of the engine's choosing, and depend on neither. When memory runs out, the budget is halved for good and the
    batch answered again; a question that does not fit by itself raises `UserError`.
    """

    loaded: Loaded
    max_tokens: int | None = None
    """Tokens that may be in the model at once, answers included; None for what fits into a GPU's free memory."""
    without_context: bool = False
    """Answer from the question alone: every image is replaced by its mean, every text taken away. What is still right
    was guessed."""

    def __post_init__(self) -> None:
        """Start with the whole budget."""
        self._budget = TokenBudget(self.max_tokens, self.loaded.device)

    def answer(
        self,
        questions: Iterable[Encoded],
        *,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
        sampling: Sampling | None = None,
    ) -> Iterator[list[Prediction]]:
        """Yield the answers that the model writes: greedily, or with `sampling` at random from its seed.

        An answer ends by itself, before the first of the `stop` texts, or after `max_new_tokens`.
        """
        ends = StopStrings(self.loaded.formatter, stop)
        write = partial(self._write, max_new_tokens=max_new_tokens, ends=ends, sampling=sampling)
        contexts = share_contexts(map(self._shown, questions))
        return self._budget.work_through(contexts, write, reserve=max_new_tokens)

    def choose(self, questions: Iterable[Encoded], *, by: LikelihoodBy = "mean") -> Iterator[list[Prediction]]:
        """Yield the likeliest option of each question, all of which have options.

        An option's letter is what is weighed where it has one, else its text. Nothing is written, and nothing read out
        of a text. `by` says what makes one option likelier than another of more tokens.
        """
        choosing = Choosing(by)
        for found in self._likelihoods(questions, lambda example: dict.fromkeys(options_of(example))):
            yield choosing.take(found)

    def score_references(self, questions: Iterable[Encoded]) -> Iterator[list[ReferenceLikelihood]]:
        """Yield how likely the model finds the first reference of each question, all of which have one."""
        for found in self._likelihoods(questions, lambda example: example.references[:1]):
            yield [
                ReferenceLikelihood(example.id, likelihood.log_likelihood, likelihood.tokens)
                for example, likelihood in found
            ]

    def _likelihoods(
        self, questions: Iterable[Encoded], answers_to: Callable[[Example], Iterable[str]]
    ) -> Iterator[list[tuple[Example, Likelihood]]]:
        """Yield how likely each answer to each question is, with the example that has it for an answer."""
        answered = (
            row
            for single in map(self._shown, questions)
            for row in rows_with_answers(self.loaded.formatter, single, answers_to(single.branches[0].example))
        )
        contexts = [join_beginnings(context) for context in share_contexts(answered)]
        return self._budget.work_through(contexts, self._weigh)

    def _write(
        self, rows: Sequence[Encoded], *, max_new_tokens: int, ends: StopStrings, sampling: Sampling | None
    ) -> list[Prediction]:
        formatter = self.loaded.formatter
        answer = answer_own_rows if rows[0].has_own_row else answer_branches
        answers = answer(
            self.loaded.model,
            rows,
            self._pixels(rows),
            max_new_tokens=max_new_tokens,
            end_ids=formatter.end_ids,
            padding_id=formatter.tokenizer.pad_token_id,
            placeholder_id=formatter.placeholder_id,
            dtype=self.loaded.model.dtype,
            device=self.loaded.device,
            sampling=sampling,
            is_complete=ends.is_complete,
        )
        return [
            Prediction(branch.example.id, ends.text_before(answer.ids), "stop" if answer.ended else "length")
            for row, row_answers in zip(rows, answers, strict=True)
            for branch, answer in zip(row.branches, row_answers, strict=True)
        ]

    def _weigh(self, rows: Sequence[Encoded]) -> list[tuple[Example, Likelihood]]:
        likelihoods = find_likelihoods(
            self.loaded.model,
            rows,
            self._pixels(rows),
            padding_id=self.loaded.formatter.tokenizer.pad_token_id,
            dtype=self.loaded.model.dtype,
            device=self.loaded.device,
        )
        return [
            (branch.example, likelihood)
            for row, of_row in zip(rows, likelihoods, strict=True)
            for branch, likelihood in zip(row.branches, of_row, strict=True)
        ]

    def _pixels(self, rows: Sequence[Encoded]) -> Pixels | None:
        images = [image for row in rows for image in row.images]
        pixels = self.loaded.formatter.pixels(images, blank=self.without_context)
        return move(pixels, self.loaded.device, self.loaded.model.dtype)

    def _shown(self, question: Encoded) -> Encoded:
        """Return a question as the model gets it."""
        if not self.without_context:
            return question
        example = question.branches[0].example
        blank = replace(example, context="", images=tuple(BlankImage() for _ in example.images))
        return self.loaded.formatter.encode(blank, answered=False)
