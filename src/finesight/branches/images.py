"""How images are handed to a model: as pixels, or as features that its vision encoder has given before."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from finesight.models.pixels import FEATURES, Pixels

PROJECTOR = "multi_modal_projector"
"""What transformers calls a LLaVA's projector, wherever an adapter or a parallel wrapper has put the model."""


def image_arguments(model: nn.Module, pixels: Pixels | None) -> dict[str, Any]:
    """Return the arguments of a forward pass that show images: none where there are none.

    Features are handed to the projector as the vision encoder would: it computes as ever, gradients included.
    """
    if pixels is None:
        # A model that sees no images takes no `pixel_values`, not even None.
        return {}
    if FEATURES not in pixels:
        return dict(pixels)
    projected = _projector_of(model)(pixels[FEATURES])
    return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=list(projected))}}


def _projector_of(model: nn.Module) -> nn.Module:
    found: list[nn.Module] = [module for name, module in model.named_modules() if name.rpartition(".")[2] == PROJECTOR]
    (projector,) = found
    return projector
