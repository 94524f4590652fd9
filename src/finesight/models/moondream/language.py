"""Phi-1.5 as moondream2 holds it: queries, keys and values of a layer are one linear layer, and so is its adapter."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import Cache, PhiConfig, PhiModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.phi.modeling_phi import PhiDecoderLayer, apply_rotary_pos_emb, eager_attention_forward


class FusedAttention(nn.Module):
    """`PhiAttention` with `Wqkv` for its three projections and `out_proj` for `dense`, as the published tensors are.

    What it computes is the same; an adapter of rank r on `Wqkv` is another than three of rank r on its thirds.
    """

    is_causal = True

    def __init__(self, config: PhiConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.rotary_dim = int(self.head_dim * config.rope_parameters["partial_rotary_factor"])
        self.heads = (config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads)
        self.Wqkv = nn.Linear(config.hidden_size, sum(self.heads) * self.head_dim)
        self.out_proj = nn.Linear(config.num_attention_heads * self.head_dim, config.hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return float[rows, tokens, hidden], and the attention's weights where its implementation gives them."""
        rows, tokens, _ = hidden_states.shape
        together = self.Wqkv(hidden_states).view(rows, tokens, sum(self.heads), self.head_dim).transpose(1, 2)
        query, key, value = together.split(self.heads, dim=1)
        cos, sin = position_embeddings
        turned = apply_rotary_pos_emb(query[..., : self.rotary_dim], key[..., : self.rotary_dim], cos, sin)
        query, key = (
            torch.cat([part, whole[..., self.rotary_dim :]], dim=-1)
            for part, whole in zip(turned, (query, key), strict=True)
        )
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        seen, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.out_proj(seen.reshape(rows, tokens, -1)), weights


class FusedPhiModel(PhiModel):  # type: ignore[misc]
    """`PhiModel` with fused attention."""

    _can_record_outputs = {"hidden_states": PhiDecoderLayer, "attentions": FusedAttention}  # noqa: RUF012

    def __init__(self, config: PhiConfig) -> None:
        super().__init__(config)
        for index, layer in enumerate(self.layers):
            layer.self_attn = FusedAttention(config, index)
        self.post_init()
