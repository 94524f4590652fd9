"""Which examples each of several processes answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finesight.runtime import process_count, process_index
from finesight.schema import Example


def share_of_process(examples: Sequence[Example]) -> list[Example]:
    """Return the examples that this process answers: all of them where there is but one."""
    return deal_groups(examples, process_count())[process_index()]


def deal_groups(examples: Iterable[Example], processes: int) -> list[list[Example]]:
    """Return the examples of each process: about equally many, those of a group together and in their order.

    What a group is about is encoded once, by the process that has it.
    """
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    shares: list[list[Example]] = [[] for _ in range(processes)]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return shares
