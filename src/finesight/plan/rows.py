"""Which rows a plan is made for: the recipe's own where its data are at hand, else the longest that it allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from finesight.branches.contexts import batch_rows, divide_context, padded_tokens, share_contexts
from finesight.continuing import open_start_formatter
from finesight.data.sets import read_all
from finesight.errors import UserError
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.opening import Tokenized, leave_out_too_long, tokenize
from finesight.plan.assumed import assume_rows
from finesight.plan.workload import Largest, Rows, Workload, lengthened
from finesight.recipe.recipe import Recipe, Stage
from finesight.train.batches import RowBatch, make_batch
from finesight.train.engines import differ
from finesight.train.step_plan import deal_rows, plan_steps


@dataclass(frozen=True)
class RealRows:
    """The recipe's own data."""

    tokens: Tokenized
    formatter: Formatter
    seed: int

    @property
    def longest(self) -> int:
        """The tokens of the longest example."""
        return max(_lengths(self.tokens.learned))

    def workload(self, stage: Stage, *, max_tokens: int, gpus: int) -> Workload:
        """Return what `stage` puts through the model. Raises `UserError` where its steps cannot be filled."""
        learned, _ = self.tokens.of_stage(stage)
        steps = plan_steps(learned, stage.train, self.seed)
        dealt = [deal_rows(step, max_tokens=max_tokens, ranks=gpus) for step in steps]
        batches = [batch for ranks in dealt for own in ranks for batch in own]
        training = tuple(make_batch(batch, self.formatter) for batch in _largest(batches))
        most = max(len(own) for ranks in dealt for own in ranks)
        return Workload(
            largest=Largest(training, most, *self._answering(max_tokens)),
            steps=len(steps),
            tokens_a_step=sum(map(padded_tokens, batches)) / len(steps),
            rows_differ=differ(self.tokens.learned),
        )

    def shorter(self, max_length: int) -> RealRows | None:
        """Return the rows without the examples that are longer; None where that leaves less than half of them."""
        learned = _without_longer(self.tokens.learned, max_length)
        tasks = tuple(
            replace(task, questions=_without_longer(task.questions, max_length)) for task in self.tokens.tasks
        )
        before, after = _examples(self.tokens.learned), _examples(learned)
        if after < before / 2 or after == before or not all(task.questions for task in tasks):
            return None
        return replace(self, tokens=replace(self.tokens, learned=learned, tasks=tasks))

    def describe(self) -> dict[str, object]:
        """Return that these are the recipe's own, and how many."""
        return {
            "from": "data",
            "examples": _examples(self.tokens.learned),
            "left_out": sum(each["examples"] for each in self.tokens.dropped if each["source"] == "train"),
            "longest_tokens": self.longest,
        }

    def _answering(self, max_tokens: int) -> tuple[RowBatch, int]:
        """Return the largest batch of any task, as long as with its answers, and the most questions of its rows."""
        found: list[tuple[int, int, list[Encoded]]] = []
        for tokenized in self.tokens.tasks:
            reserve = tokenized.task.max_new_tokens
            contexts = share_contexts(tokenized.questions)
            rows = chain.from_iterable(
                divide_context(each, max_tokens=max_tokens, reserve=reserve) for each in contexts
            )
            batches = batch_rows(list(rows), max_tokens=max_tokens, reserve=reserve)
            largest = max(batches, key=lambda batch: padded_tokens(batch, reserve=reserve))
            found.append((padded_tokens(largest, reserve=reserve), len(found), largest))
        tokens, _, rows_of_largest = max(found)
        batch = make_batch(rows_of_largest, self.formatter)
        return lengthened(batch, tokens // len(rows_of_largest)), max(len(row.branches) for row in rows_of_largest)


def find_rows(recipe: Recipe, data_root: Path) -> Rows:
    """Return the recipe's rows: its own, or where data or tokenizer cannot be read, the longest that it allows.

    Raises `ModelError` where the model's configuration is not at hand, and `UserError` where the longest row that the
    recipe allows has no room for an image.
    """
    try:
        sets, _ = read_all(recipe, data_root)
        formatter = open_start_formatter(recipe, data_root, sets)
        return RealRows(tokenize(formatter, sets, leave_out_too_long(recipe)), formatter, recipe.seed)
    except UserError as error:
        # Not silent: the plan says which rows it is of, and why.
        return assume_rows(recipe, data_root, error.message)


def _largest(batches: Sequence[Sequence[Encoded]]) -> list[Sequence[Encoded]]:
    """Return the batches of which one holds the most: of most tokens, of most learned ones, of most images.

    Which it is depends on the model: a large vocabulary makes learned tokens dear, a tuned encoder images.
    """
    orders: tuple[Callable[[Sequence[Encoded]], int], ...] = (
        padded_tokens,
        lambda rows: sum(row.learned_tokens for row in rows),
        lambda rows: sum(len(row.images) for row in rows),
    )
    # Ties are broken by the other sizes, so that most often it is one batch.
    sizes = [tuple(order(rows) for order in orders) for rows in batches]
    chosen = {max(range(len(batches)), key=lambda at: (sizes[at][first], sizes[at])) for first in range(len(orders))}
    return sorted((batches[at] for at in chosen), key=padded_tokens, reverse=True)


def _lengths(contexts: Sequence[Encoded]) -> list[int]:
    return [len(context.prefix_ids) + len(branch.ids) for context in contexts for branch in context.branches]


def _examples(contexts: Sequence[Encoded]) -> int:
    return sum(len(context.branches) for context in contexts)


def _without_longer(contexts: Sequence[Encoded], max_length: int) -> tuple[Encoded, ...]:
    kept = []
    for context in contexts:
        room = max_length - len(context.prefix_ids)
        if branches := tuple(branch for branch in context.branches if len(branch.ids) <= room):
            kept.append(context.with_branches(branches))
    return tuple(kept)
