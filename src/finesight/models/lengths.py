"""Turning whole sets into tokens, and finding what is too long before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finesight.errors import DataError
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.recipe.data import Data
from finesight.runtime import follow
from finesight.schema import Example

SHOWN = 5


@dataclass(frozen=True)
class EncodedSet:
    """A set as tokens."""

    singles: tuple[Encoded, ...]
    """Each example as a context with one branch."""
    too_long: tuple[Example, ...]
    """Examples left out because they have more tokens than the recipe allows."""


def encode_set(
    formatter: Formatter, examples: Sequence[Example], data: Data, *, name: str, answered: bool
) -> EncodedSet:
    """Return a set as tokens.

    Raises `DataError` with the count of the examples over `data.max_length` unless the recipe drops them. Nothing is
    ever cut: a cut example would lose its answer, or tokens of its image.
    """
    singles: list[Encoded] = []
    too_long: list[Example] = []
    longest = 0
    for example in follow(examples, f"tokenizing {name}", len(examples)):
        single = formatter.encode(example, answered=answered)
        longest = max(longest, single.tokens)
        if single.tokens > data.max_length:
            too_long.append(example)
        else:
            singles.append(single)
    if too_long and data.over_length == "fail":
        first = ", ".join(example.id for example in too_long[:SHOWN])
        raise DataError(
            f"{name}: {len(too_long)} of {len(examples)} examples have more than {data.max_length} tokens "
            f"(the longest {longest}; first: {first})",
            hint=f"set data.max_length: {longest}, or data.over_length: drop to leave them out",
        )
    return EncodedSet(tuple(singles), tuple(too_long))
