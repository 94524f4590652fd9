"""Gathering questions behind the contexts they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from finesight.models.encoded import UNLEARNED, Branch, Encoded


def share_contexts(singles: Iterable[Encoded]) -> list[Encoded]:
    """Return one context for all questions that have the same prefix and images, in order of first appearance.

    Questions of families that share none have a row each.
    Questions about neither an image nor a text share one only within their group: a bos token is no context that
    would be worth it.
    """
    gathered: dict[tuple[bytes, tuple[str, ...], int], list[Encoded]] = {}
    for number, single in enumerate(singles):
        own = number if single.has_own_row else -1
        gathered.setdefault((single.prefix_ids.tobytes(), _shown(single), own), []).append(single)
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


def join_beginnings(context: Encoded) -> Encoded:
    """Return the same context with what all its branches begin with in the prefix, so that it is computed once.

    The options of one question share the question. The last token before the first that is learned stays in the
    branch, for a branch opens with one that is not.
    """
    if len(context.branches) == 1:
        return context
    first, *others = context.branches
    common = min(int(np.argmax(branch.labels != UNLEARNED)) for branch in context.branches) - 1
    for other in others:
        length = min(common, len(other.ids))
        differs = np.flatnonzero(first.ids[:length] != other.ids[:length])
        common = int(differs[0]) if len(differs) else length
    if common <= 0:
        return context
    return context.with_longer_prefix(first.ids[:common]).with_branches(
        tuple(Branch(branch.example, branch.ids[common:], branch.labels[common:]) for branch in context.branches)
    )


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
    batches: list[list[Encoded]] = []
    for row in sorted(rows, key=lambda row: padded_tokens([row], reserve=reserve), reverse=True):
        # The first row of a batch is its longest, so the batch's padded size is known.
        if batches and padded_tokens([batches[-1][0]], reserve=reserve) * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def padded_tokens(rows: Sequence[Encoded], *, reserve: int = 0) -> int:
    """Return how many tokens a batch has in the model, its padding and the room for its answers included."""
    return len(rows) * max(row.tokens + reserve * len(row.branches) for row in rows)


def halve_batch(rows: Sequence[Encoded]) -> tuple[list[Encoded], list[Encoded]] | None:
    """Return a batch as two: half of its rows each, or of one row half of its branches; None for a single branch."""
    if len(rows) > 1:
        half = (len(rows) + 1) // 2
        return list(rows[:half]), list(rows[half:])
    (row,) = rows
    if len(row.branches) == 1:
        return None
    half = (len(row.branches) + 1) // 2
    return [row.with_branches(row.branches[:half])], [row.with_branches(row.branches[half:])]
