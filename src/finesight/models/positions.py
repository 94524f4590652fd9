"""Another image size for a vision encoder: its learned positions, interpolated once."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from finesight.errors import ModelError
from finesight.models.families import has_class_token


def resize_positions(tower: PreTrainedModel, image_size: int) -> None:
    """Make `tower` take pictures of `image_size` pixels, interpolating its position embedding bicubically.

    As in ViT (Dosovitskiy et al. 2021, section 3.2); the class token's position stays.
    """
    patch = int(tower.config.patch_size)
    if image_size % patch:
        raise ModelError(
            f"model.image_size {image_size} is not a multiple of the encoder's patch size {patch}",
            hint=f"use {image_size // patch * patch} or {(image_size // patch + 1) * patch}",
        )
    old, new = int(tower.config.image_size) // patch, image_size // patch
    if old == new:
        return
    embeddings = next(module for module in tower.modules() if "position_embedding" in dict(module.named_children()))
    weight = embeddings.position_embedding.weight.detach()
    kept, grid = (weight[:1], weight[1:]) if has_class_token(tower.config) else (weight[:0], weight)
    square = grid.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(square, size=(new, new), mode="bicubic", align_corners=False)
    resized = resized.permute(0, 2, 3, 1).reshape(new * new, -1).to(weight.dtype)
    count = len(kept) + new * new
    embeddings.position_embedding = nn.Embedding(count, weight.shape[1], _weight=torch.cat([kept, resized]))
    positions = torch.arange(count, device=weight.device).expand(1, -1)
    embeddings.register_buffer("position_ids", positions, persistent=False)
    embeddings.image_size = image_size
    embeddings.num_patches = new * new
    embeddings.num_positions = count
    tower.config.image_size = image_size
