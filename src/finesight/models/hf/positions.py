"""Positions along time, height and width, as Qwen2-VL counts them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finesight.models.encoded import Positions, Tokens


def grid_positions(
    ids: Tokens, image_token_id: int, grids: Sequence[tuple[int, int, int]], *, merged: int
) -> Positions:
    """Return where tokens stand: int[3, tokens], along time, height and width.

    A token of text is one further than the one before it on every axis. The features of an image lie in its grid, and
    what comes behind it is counted from the grid's longer side. `grids` are in patches, `merged` of which, along each
    side, become one feature. (Multimodal rotary position embedding, Wang et al. 2024, https://arxiv.org/abs/2409.12191;
    transformers' `get_rope_index`, which counts the same.)
    """
    positions = np.empty((3, len(ids)), dtype=np.int64)
    place = following = 0
    for time, height, width in grids:
        start = place + int(np.argmax(ids[place:] == image_token_id))
        positions[:, place:start] = following + np.arange(start - place)
        following += start - place
        shape = (time, height // merged, width // merged)
        place = start + int(np.prod(shape))
        positions[:, start:place] = following + np.indices(shape).reshape(3, -1)
        following += max(shape[1:])
    positions[:, place:] = following + np.arange(len(ids) - place)
    return positions
