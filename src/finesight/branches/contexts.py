"""Gathering questions behind the contexts they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finesight.models.encoded import Branch, Encoded


def share_contexts(singles: Iterable[Encoded]) -> list[Encoded]:
    """Return one context for all questions that have the same prefix and images, in order of first appearance.

    Questions without an image share one only within their group: a bos token is no context that would be worth it.
    """
    gathered: dict[tuple[bytes, tuple[str, ...]], list[Encoded]] = {}
    for single in singles:
        shown = tuple(image.content_hash() for image in single.images) or (single.branches[0].example.group,)
        gathered.setdefault((single.prefix_ids.tobytes(), shown), []).append(single)
    return [
        same[0].with_branches(tuple(branch for single in same for branch in single.branches))
        for same in gathered.values()
    ]


def divide_context(context: Encoded, *, max_tokens: int, reserve: int = 0) -> list[Encoded]:
    """Return the context as rows of at most `max_tokens`, as few as possible in the order of its branches.

    `reserve` tokens are kept free for each branch's answer. A branch that alone is too long has a row of its own.
    """
    rows: list[list[Branch]] = []
    room = 0
    for branch in context.branches:
        need = len(branch.ids) + reserve
        if not rows or need > room:
            rows.append([])
            room = max_tokens - len(context.prefix_ids)
        rows[-1].append(branch)
        room -= need
    return [context.with_branches(tuple(row)) for row in rows]


def batch_rows(rows: Sequence[Encoded], *, max_tokens: int, reserve: int = 0) -> list[list[Encoded]]:
    """Return rows in batches whose padded size stays within `max_tokens`, rows of like length together."""

    def size(row: Encoded) -> int:
        return row.tokens + reserve * len(row.branches)

    batches: list[list[Encoded]] = []
    for row in sorted(rows, key=size, reverse=True):
        # The first row of a batch is its longest, so the batch's padded size is known.
        if batches and size(batches[-1][0]) * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
