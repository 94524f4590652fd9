"""Which parameters a gradient can reach, found by running the model without weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LlavaConfig, PreTrainedModel

from finesight.models.families import FeatureStrategy, image_geometry
from finesight.models.hf.families import FAMILIES
from finesight.models.hf.reach import reached_through_picture
from finesight.models.moondream.config import MoondreamConfig


def reachable_parameters(twin: PreTrainedModel) -> frozenset[str]:
    """Return the names of the parameters that get a gradient in one forward and backward pass.

    `twin` is on the meta device, so this takes neither weights nor memory, and the answer is the model's own: a layer
    behind the one whose features are used, or a module that forward never calls, is not in it.
    """
    if twin.config.model_type in FAMILIES:
        return reached_through_picture(twin.config)
    twin.train()
    twin.requires_grad_(True)
    features, seen = one_image(twin.config) if isinstance(twin.config, LlavaConfig | MoondreamConfig) else (0, {})
    tokens = features + 2
    with without_value_checks():
        logits = twin(
            input_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"),
            position_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"),
            attention_mask=torch.zeros(1, 1, tokens, tokens, device="meta"),
            use_cache=False,
            **seen,
        ).logits
        logits.sum().backward()
    reached = frozenset(name for name, parameter in twin.named_parameters() if parameter.grad is not None)
    twin.zero_grad(set_to_none=True)
    return reached


def one_image(config: LlavaConfig | MoondreamConfig) -> tuple[int, dict[str, Any]]:
    """Return how many tokens an image takes in a row, and the image as an argument of the model."""
    strategy: FeatureStrategy = config.vision_feature_select_strategy if isinstance(config, LlavaConfig) else "full"
    geometry = image_geometry(config.vision_config, strategy)
    return geometry.features, {"pixel_values": torch.zeros(1, 3, geometry.size, geometry.size, device="meta")}


@contextmanager
def without_value_checks() -> Iterator[None]:
    """Switch off transformers' checks of tensor values: a tensor without weights has none."""
    name = "TRANSFORMERS_DISABLE_TORCH_CHECK"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
