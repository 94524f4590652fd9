"""The figures of a source in a set: how many, how long, which answers, which pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from random import Random
from typing import Any

import numpy as np

from finesight.branches.contexts import share_contexts
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example

TOP_ANSWERS = 10
NAMED = 5
MEASURED_IMAGES = 100
"""Images whose size is measured; each must be decoded for it."""
MOST_BARS = 24


def describe_source(
    singles: Sequence[Encoded], too_long: Sequence[Example], *, answered: bool, end_ids: Collection[int]
) -> dict[str, Any]:
    """Return what is told of the examples of one source in one set, lengths in tokens, shares from 0 to 1.

    `singles` are the examples that are used, `too_long` those over length. What only tokens of answers tell is left
    out where the questions are asked without them.
    """
    branches = [single.branches[0] for single in singles]
    examples = [branch.example for branch in branches]
    questions = [len(context.branches) for context in share_contexts(singles)]
    figures: dict[str, Any] = {
        "examples": len(singles),
        "contexts": len(questions),
        "questions_a_context": _spread(questions),
        "groups": len({example.group for example in examples}),
        "tokens": {
            **_spread([single.tokens for single in singles]),
            **_histogram([single.tokens for single in singles]),
        },
        "answer_types": _shares([example.answer_type for example in examples if example.answer_type]),
        "question_types": _shares([example.question_type for example in examples if example.question_type]),
        "top_answers": _shares([example.answer for example in examples])[:TOP_ANSWERS],
        "distinct_answers": len({example.answer for example in examples}),
        "empty_answers": _named([example for example in examples if not example.answer.strip()]),
        "over_length": _named(too_long),
        "image_sizes": _measure_images(examples),
    }
    if answered:
        tokens = sum(single.tokens for single in singles)
        spoken = [(branch.example, _spoken_tokens(branch, end_ids)) for branch in branches]
        figures["learned"] = _spread([branch.learned_tokens for branch in branches])
        figures["learned_share"] = sum(branch.learned_tokens for branch in branches) / tokens if tokens else 0.0
        figures["one_token_answers"] = _named([example for example, count in spoken if count == 1])
        figures["unlearned"] = _named([branch.example for branch in branches if not branch.learned_tokens])
    return figures


def _spoken_tokens(branch: Branch, end_ids: Collection[int]) -> int:
    """Return how many learned tokens say something, those that end an answer left out."""
    learned = branch.labels[branch.labels != UNLEARNED]
    return int((~np.isin(learned, list(end_ids))).sum())


def _spread(numbers: Sequence[int]) -> dict[str, float]:
    if not numbers:
        return {}
    return {
        "min": min(numbers),
        "median": float(np.median(numbers)),
        "percentile_95": float(np.percentile(numbers, 95)),
        "max": max(numbers),
    }


def _histogram(numbers: Sequence[int]) -> dict[str, list[int]]:
    """Return how many numbers lie from each edge to before the next: whole edges, equally far from each other."""
    if not numbers:
        return {}
    low, high = min(numbers), max(numbers)
    width = -(-(high - low + 1) // MOST_BARS)
    bars = -(-(high - low + 1) // width)
    counts = np.bincount((np.array(numbers) - low) // width, minlength=bars)
    return {"edges": [low + width * bar for bar in range(bars + 1)], "counts": [int(count) for count in counts]}


def _shares(values: Sequence[str]) -> list[dict[str, Any]]:
    """Return each value with its count and its share of all values, the most frequent first."""
    return [
        {"value": value, "count": count, "share": count / len(values)} for value, count in Counter(values).most_common()
    ]


def _named(examples: Sequence[Example]) -> dict[str, Any]:
    return {"examples": len(examples), "first": [example.id for example in examples[:NAMED]]}


def _measure_images(examples: Sequence[Example]) -> dict[str, Any]:
    """Return the sizes in pixels (width, height) of some of the images, and of how many."""
    distinct = list({image.content_hash(): image for example in examples for image in example.images}.values())
    measured = Random(0).sample(distinct, min(MEASURED_IMAGES, len(distinct)))
    sizes: list[tuple[int, int]] = [image.open().size for image in measured]
    if not sizes:
        return {}
    (common, count), *_ = Counter(sizes).most_common(1)
    return {
        "images": len(distinct),
        "measured": len(sizes),
        "smallest": list(min(sizes, key=math.prod)),
        "largest": list(max(sizes, key=math.prod)),
        "most_frequent": list(common),
        "most_frequent_share": count / len(sizes),
    }
