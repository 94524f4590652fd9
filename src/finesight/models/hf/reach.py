"""Which parameters a gradient can reach, of families that cannot be run without weights.

They look at what is in a picture, or in its grid, which a tensor on the meta device has not. So a model of the same
layers and names is run that has weights, and is thin.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from finesight.models.hf.families import FAMILIES, Family
from finesight.models.hf.narrow import narrow_config
from finesight.models.shrink import PATCHES

_TEXT_ID = 1


def reached_through_picture(config: PreTrainedConfig) -> frozenset[str]:
    """Return the names of the parameters that get a gradient from a picture and a text."""
    model = AutoModelForImageTextToText.from_config(_fewer_patches(narrow_config(config, shallow=False)))
    model.train()
    model(**_row(model, FAMILIES[config.model_type]), use_cache=False, logits_to_keep=1).logits.sum().backward()
    return frozenset(name for name, parameter in model.named_parameters() if parameter.grad is not None)


def _row(model: PreTrainedModel, family: Family) -> dict[str, Any]:
    """Return the arguments that show one picture between two tokens of text."""
    pixels = _picture(model.config, family)
    with torch.no_grad():
        features = sum(len(of_image) for of_image in model.get_image_features(**pixels).pooler_output)
    ids = torch.full((1, features + 2), _TEXT_ID)
    ids[0, 1:-1] = model.config.image_token_id
    images = (ids == model.config.image_token_id).long()
    types = {
        name: images if marked == "images" else torch.zeros_like(ids) for name, marked in family.token_types.items()
    }
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **types, **pixels}


def _picture(config: PreTrainedConfig, family: Family) -> dict[str, torch.Tensor]:
    """Return one picture as the forward pass takes it. It is not black: tiles of zeros count as none."""
    vision = config.vision_config
    if family.has_grid_positions:
        side = 2 * vision.spatial_merge_size
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        return {"pixel_values": torch.ones(side**2, values), "image_grid_thw": torch.tensor([[1, side, side]])}
    size = vision.image_size
    height, width = (size, size) if isinstance(size, int) else size
    if family.join == "first":
        return {"pixel_values": torch.ones(1, 3, height, width)}
    if family.join == "tiles":
        return {"pixel_values": torch.ones(1, 1, 3, height, width)}
    tiles = image_size_to_num_patches([height, width], config.image_grid_pinpoints, height)
    return {"pixel_values": torch.ones(1, tiles, 3, height, width), "image_sizes": torch.tensor([[height, width]])}


def _fewer_patches(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return a configuration of smaller pictures, where nothing else depends on their size: 4,096 patches are slow."""
    if "mm_tokens_per_image" in config.to_dict():
        config.vision_config.image_size = PATCHES * config.vision_config.patch_size
        config.mm_tokens_per_image = (PATCHES // 2) ** 2
    return config
