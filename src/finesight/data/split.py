"""Dividing and drawing by whole groups. What comes out depends on the groups' names and the seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from finesight.data.groups import by_group
from finesight.data.stratify import deal_alike
from finesight.schema import Example

REST = "train"
"""The set that takes what no share is given for."""


def split_groups(
    examples: Sequence[Example],
    fractions: Mapping[str, float],
    seed: int,
    kind_of: Callable[[Example], str] | None = None,
) -> dict[str, list[Example]]:
    """Return the examples of each set that `fractions` names, and of `train`, which takes the rest.

    The shares are of groups, rounded; a share above 0 is at least one group where there are groups enough. No group
    is divided. With `kind_of`, each kind of example has about the same share in every set, as far as whole groups
    allow; without it, chance decides. Each set keeps the order of `examples`.
    """
    ordered = _in_random_order({example.group for example in examples}, f"split {seed}")
    sizes = _count_groups(len(ordered), fractions)
    if kind_of is None:
        names = [name for name, size in sizes.items() for _ in range(size)]
        set_of = dict(zip(ordered, names, strict=True))
    else:
        groups = by_group(examples)
        set_of = deal_alike({group: [kind_of(example) for example in groups[group]] for group in ordered}, sizes)
    sets: dict[str, list[Example]] = {name: [] for name in (REST, *fractions)}
    for example in examples:
        sets[set_of[example.group]].append(example)
    return sets


def draw(examples: Sequence[Example], max_samples: int | None, seed: int) -> list[Example]:
    """Return `max_samples` of the examples (all, where there are no more or None is given), in their own order.

    Whole groups are drawn at random. Only the last one is cut, when it would be too many: what is left of it must not
    be used elsewhere, or it would stand in two sets.
    """
    if max_samples is None or len(examples) <= max_samples:
        return list(examples)
    groups = by_group(examples)
    drawn: set[str] = set()
    for group in _in_random_order(groups, f"draw {seed}"):
        members = {example.id for example in groups[group]}
        room = max_samples - len(drawn)
        if len(members) >= room:
            drawn.update(_in_random_order(members, f"cut {seed}")[:room])
            break
        drawn |= members
    return [example for example in examples if example.id in drawn]


def _count_groups(groups: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Return how many groups each set takes, those that a share is given for first."""
    sizes: dict[str, int] = {}
    left = groups
    for name, fraction in fractions.items():
        wanted = max(1, round(fraction * groups)) if fraction else 0
        # One group stays for what follows: a set of a handful of pictures still leaves something to learn from.
        sizes[name] = min(wanted, max(left - 1, 0))
        left -= sizes[name]
    return {**sizes, REST: left}


def _in_random_order(names: Iterable[str], seed: str) -> list[str]:
    # By hash, not by shuffling: a group that is added later leaves the order of the others as it was.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
