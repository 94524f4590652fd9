"""Gathering questions behind the contexts they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from finesight.models.encoded import Branch, Encoded


def share_contexts(singles: Iterable[Encoded]) -> list[Encoded]:
    """Return one context for all questions that have the same prefix and images, in order of first appearance.

    Questions about neither an image nor a text share one only within their group: a bos token is no context that
    would be worth it.
    """
    gathered: dict[tuple[bytes, tuple[str, ...]], list[Encoded]] = {}
    for single in singles:
        gathered.setdefault((single.prefix_ids.tobytes(), _shown(single)), []).append(single)
    return [
        same[0].with_branches(tuple(branch for single in same for branch in single.branches))
        for same in gathered.values()
    ]


def _shown(single: Encoded) -> tuple[str, ...]:
    example = single.branches[0].example
    if not (single.images or example.context):
        return (example.group,)
    # The text too, not its tokens alone: a short one may have no token of its own in the prefix.
    return (example.context, *(image.content_hash() for image in single.images))


def keep_sources(contexts: Iterable[Encoded], names: Collection[str]) -> list[Encoded]:
    """Return the contexts with their branches from the sources of these names alone; no names mean all sources."""
    if not names:
        return list(contexts)
    kept = (
        context.with_branches(tuple(branch for branch in context.branches if branch.example.source in names))
        for context in contexts
    )
    return [context for context in kept if context.branches]


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
