"""Who sees whom in a row of branches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from finesight.branches.layout import PADDING, PREFIX, TWO_WAY_PREFIX, Layout

SLIDING = "sliding_attention"
"""What transformers calls the layers in which a token sees only so many positions back."""


@dataclass(frozen=True)
class Places:
    """Where tokens stand in their rows."""

    branch_numbers: torch.Tensor
    """int[rows, tokens], as in a `Layout`"""
    positions: torch.Tensor
    """int[rows, tokens]; of several axes the first"""

    @classmethod
    def of(cls, layout: Layout) -> Places:
        """Return where the tokens of a layout stand."""
        positions = layout.position_ids
        return cls(layout.branch_numbers, positions if positions.ndim == 2 else positions[0])

    def followed_by(self, others: Places) -> Places:
        """Return these places with others behind them."""
        return Places(
            torch.cat([self.branch_numbers, others.branch_numbers], dim=1),
            torch.cat([self.positions, others.positions], dim=1),
        )


def attention_mask(
    model: nn.Module, queries: Places, keys: Places, dtype: torch.dtype
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return the mask that `model` takes: float[rows, 1, queries, keys], 0 where seen, else the smallest number.

    The queries are the last of the keys. A language model with sliding layers (Gemma-2) gets one mask for these and
    one for the others, by their names in transformers. The window is cut by position: by index, a branch that stands
    far behind its prefix in the row would lose it.
    """
    seen = who_is_seen(queries.branch_numbers, keys.branch_numbers)
    window = sliding_window(model)
    if window is None:
        return additive(seen, dtype)
    near = queries.positions[:, :, None] - keys.positions[:, None, :] < window
    return {"full_attention": additive(seen, dtype), SLIDING: additive(seen & near, dtype)}


def who_is_seen(query_branches: torch.Tensor, key_branches: torch.Tensor) -> torch.Tensor:
    """Return which key each query sees: bool[rows, queries, keys].

    A token sees what stands before it in the prefix and in its own branch; tokens of a two-way prefix see each other.
    `query_branches` (int[rows, queries]) are the last of `key_branches` (int[rows, keys]). A padded query sees itself:
    a row of the mask without any 0 is NaN in eager attention, and NaN spreads.
    """
    queries, keys = query_branches.shape[1], key_branches.shape[1]
    key_index = torch.arange(keys, device=key_branches.device)
    query_index = key_index[keys - queries :]
    before = key_index[None, :] <= query_index[:, None]
    itself = key_index[None, :] == query_index[:, None]
    of_query, of_key = query_branches[:, :, None], key_branches[:, None, :]
    two_way = of_key == TWO_WAY_PREFIX
    related = (of_key == PREFIX) | two_way | (of_key == of_query)
    seen: torch.Tensor = (before & related & (of_key != PADDING)) | (two_way & (of_query == TWO_WAY_PREFIX)) | itself
    return seen


def sliding_window(model: nn.Module) -> int | None:
    """Return how many positions a token's window has in the sliding layers of a model's text part; None without such.

    The model may be wrapped, as by an adapter.
    """
    config = next(module.config for module in model.modules() if isinstance(module, PreTrainedModel))
    assert isinstance(config, PreTrainedConfig)
    settings = vars(config.get_text_config(decoder=True))  # only configurations of some families name layer types
    return int(settings["sliding_window"]) if SLIDING in (settings.get("layer_types") or ()) else None


def additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to the attention scores: float[rows, 1, queries, keys].

    It is made on the device, in the model's own dtype: the smallest number of another dtype may be -inf in this one,
    and a bool mask is silently wrong in eager attention.
    """
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
