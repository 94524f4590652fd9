"""Who sees whom in a row of branches."""

from __future__ import annotations

import torch

from finesight.branches.layout import PADDING, PREFIX


def additive_mask(query_branches: torch.Tensor, key_branches: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to the attention scores: float[rows, 1, queries, keys], 0 where seen.

    A token sees what stands before it in the prefix and in its own branch. `query_branches` (int[rows, queries]) are
    the last of `key_branches` (int[rows, keys]). A padded query sees itself: a row of the mask without any 0 is NaN
    in eager attention, and NaN spreads. The mask is made on the device, in the model's own dtype: the smallest number
    of another dtype may be -inf in this one, and a bool mask is silently wrong in eager attention.
    """
    queries, keys = query_branches.shape[1], key_branches.shape[1]
    key_index = torch.arange(keys, device=key_branches.device)
    query_index = key_index[keys - queries :]
    before = key_index[None, :] <= query_index[:, None]
    itself = key_index[None, :] == query_index[:, None]
    seen_keys = key_branches[:, None, :]
    related = (seen_keys == PREFIX) | (seen_keys == query_branches[:, :, None])
    seen = (before & related & (seen_keys != PADDING)) | itself
    mask = torch.zeros(seen.shape, dtype=dtype, device=key_branches.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
