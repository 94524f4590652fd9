"""Weights whose answers differ: freshly made ones answer one token, whatever they are asked."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def make_lively(model: nn.Module) -> None:
    """Give a small model such weights, the same ones every time; packed ones stay as they are."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and parameter.is_floating_point():
            parameter.normal_(std=2 / parameter.shape[-1] ** 0.5, generator=generator)
        elif name.endswith("post_feedforward_layernorm.weight"):
            parameter.fill_(8)  # Gemma-2's layers would else add too little to say another token than the last
