"""Dividing and drawing by whole groups. What comes out depends on the groups' names and the seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from finesight.data.groups import by_group
from finesight.schema import Example

REST = "train"
"""The set that takes what no share is given for."""


def split_groups(examples: Sequence[Example], fractions: Mapping[str, float], seed: int) -> dict[str, list[Example]]:
    """Return the examples of each set that `fractions` names, and of `train`, which takes the rest.

    The shares are of groups, rounded; a share above 0 is at least one group where there are groups enough. No group
    is divided. Each set keeps the order of `examples`.
    """
    ordered = _in_random_order({example.group for example in examples}, f"split {seed}")
    set_of: dict[str, str] = {}
    for name, fraction in fractions.items():
        left = len(ordered) - len(set_of)
        wanted = max(1, round(fraction * len(ordered))) if fraction else 0
        # One group stays for what follows: a set of a handful of pictures still leaves something to learn from.
        taken = min(wanted, max(left - 1, 0))
        set_of.update(dict.fromkeys(ordered[len(set_of) : len(set_of) + taken], name))
    sets: dict[str, list[Example]] = {name: [] for name in (REST, *fractions)}
    for example in examples:
        sets[set_of.get(example.group, REST)].append(example)
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


def _in_random_order(names: Iterable[str], seed: str) -> list[str]:
    # By hash, not by shuffling: a group that is added later leaves the order of the others as it was.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
