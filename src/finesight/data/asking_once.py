"""Asking once what has several right answers: five captions of an image are five examples, but one question."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from finesight.schema import Example


def ask_once(examples: Iterable[Example]) -> list[Example]:
    """Return the examples without those that repeat an earlier one, in their order.

    One repeats another that asks the same about the same images and text, and has the same several right answers:
    whatever a model says to both, the score is the same. What has one right answer stays, however often it stands.
    """
    first: dict[Hashable, Example] = {}
    for example in examples:
        first.setdefault(_asked(example), example)
    return list(first.values())


def with_repeats(asked: Iterable[Example], examples: Sequence[Example]) -> list[Example]:
    """Return those of `examples` that are among `asked`, or repeat one of them, in their own order."""
    wanted = set(map(_asked, asked))
    return [example for example in examples if _asked(example) in wanted]


def _asked(example: Example) -> Hashable:
    if len(example.references) < 2:
        return example.id
    shown = tuple(image.content_hash() for image in example.images)
    return shown, example.context, example.turns[:-1], frozenset(example.references)
