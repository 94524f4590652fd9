"""The dry run: every example of the data as the model's tokens, looked at before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from finesight.models.encoded import Branch, Encoded
from finesight.models.formatter import Formatter
from finesight.numerals import number_or_range
from finesight.recipe.data import Data
from finesight.train.checks.check import Check

NAMED = 5
"""Examples of a fault that are named; all are counted."""


def check_every_example(
    formatter: Formatter,
    answered: Sequence[Encoded],
    asked: Sequence[Encoded],
    data: Data,
    dropped: Sequence[Mapping[str, Any]],
) -> Iterator[Check]:
    """Yield what the dry run finds.

    `answered` are the contexts that are learned from or watched, `asked` those that are measured on; `dropped` is what
    is over length, as data.json says it.
    """
    yield check_over_length(data, dropped)
    yield check_learned_tokens(answered)
    if formatter.placeholder_id is not None:
        yield check_whole_images(formatter, [*answered, *asked])


def check_over_length(data: Data, dropped: Sequence[Mapping[str, Any]]) -> Check:
    """No example is longer than the recipe allows."""
    if not dropped:
        return Check("over length", "pass", f"no example has more than {data.max_length:,} tokens")
    counted = "; ".join(
        f"{entry['source']}: {entry['examples']:,} (first: {', '.join(entry['first'])})" for entry in dropped
    )
    if data.over_length == "drop":
        return Check(
            "over length",
            "warning",
            f"left out, because they have more than {data.max_length:,} tokens: {counted}",
            hint="raise data.max_length to keep them",
        )
    return Check(
        "over length",
        "failure",
        f"more than {data.max_length:,} tokens: {counted}",
        hint="raise data.max_length, or set data.over_length: drop to leave them out; nothing is ever cut",
    )


def check_learned_tokens(contexts: Sequence[Encoded]) -> Check:
    """Every example teaches something: without a learned token its loss is no number."""
    branches = [branch for context in contexts for branch in context.branches]
    silent = [branch for branch in branches if not branch.learned_tokens]
    if silent:
        return Check(
            "learned tokens",
            "failure",
            f"{len(silent):,} of {len(branches):,} examples have no learned token (first: {_named(silent)})",
            hint="is there an answer in these rows, and does the chat template show it?",
        )
    return Check("learned tokens", "pass", f"all {len(branches):,} examples have learned tokens")


def check_whole_images(formatter: Formatter, contexts: Sequence[Encoded]) -> Check:
    """Every image has all its tokens: one that lost some would end the run at its step."""
    cut: list[Branch] = []
    found: set[int] = set()
    for context in contexts:
        expected = [formatter.image_tokens(image) for image in context.images]
        in_prefix = _count(context.prefix_ids, formatter)
        cut += [branch for branch in context.branches if in_prefix + _count(branch.ids, formatter) != sum(expected)]
        found.update(expected)
    tokens = number_or_range(found) if found else "0"
    if cut:
        return Check(
            "whole images",
            "failure",
            f"in {len(cut):,} examples the image tokens are not {tokens} an image (first: {_named(cut)})",
            hint="remove image tokens from the text of these rows; the template places them",
        )
    if not found:
        return Check("whole images", "pass", "there are no images")
    return Check("whole images", "pass", f"every image has its {tokens} tokens, in all examples")


def _count(ids: np.ndarray, formatter: Formatter) -> int:
    return int(np.count_nonzero(ids == formatter.placeholder_id))


def _named(branches: Sequence[Branch]) -> str:
    return ", ".join(branch.example.id for branch in branches[:NAMED])
