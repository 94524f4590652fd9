"""How images are handed to a model: as pixels, or as features that its vision encoder has given before."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

PROJECTOR = "multi_modal_projector"
"""What transformers calls a LLaVA's projector, wherever an adapter or a parallel wrapper has put the model."""


def image_arguments(model: nn.Module, images: torch.Tensor | None) -> dict[str, Any]:
    """Return the arguments of a forward pass that show images: none where there are none.

    Pixels are float[images, 3, height, width]. Features are float[images, features, hidden], as the vision encoder
    gives them to the projector, which computes as ever, gradients included.
    """
    if images is None:
        # A model that sees no images takes no `pixel_values`, not even None.
        return {}
    if images.ndim == 4:
        return {"pixel_values": images}
    projected = _projector_of(model)(images)
    return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=list(projected))}}


def _projector_of(model: nn.Module) -> nn.Module:
    found: list[nn.Module] = [module for name, module in model.named_modules() if name.rpartition(".")[2] == PROJECTOR]
    (projector,) = found
    return projector
