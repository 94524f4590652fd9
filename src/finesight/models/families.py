"""What finesight knows of each vision encoder and language model that a LLaVA may be made of."""

from __future__ import annotations

from typing import Any, Literal

from transformers import PreTrainedConfig

from finesight.errors import ModelError
from finesight.models.image_formatter import ImageGeometry
from finesight.recipe.model import SUPPORTED_LANGUAGE_TYPES, SUPPORTED_VISION_TYPES

FeatureStrategy = Literal["default", "full"]
EAGER_TYPES = ("gemma2",)
"""Language models whose attention scores are capped."""


def right_strategy(vision_config: PreTrainedConfig) -> FeatureStrategy:
    """Return which features of the encoder are patches.

    CLIP's first feature is its class token: `default` drops it. SigLIP has none: `default` would drop a patch.
    """
    return "default" if has_class_token(vision_config) else "full"


def has_class_token(vision_config: PreTrainedConfig) -> bool:
    """Return whether the encoder's first feature is a class token."""
    return str(vision_config.model_type) == "clip_vision_model"


def image_geometry(vision_config: PreTrainedConfig, strategy: FeatureStrategy) -> ImageGeometry:
    """Return what the encoder takes and how many features of it are used."""
    size, patch = int(vision_config.image_size), int(vision_config.patch_size)
    patches = (size // patch) ** 2
    features = patches + has_class_token(vision_config) - (strategy == "default")
    return ImageGeometry(size=size, features=features)


def require_supported(config: PreTrainedConfig, what: Literal["vision", "language"]) -> None:
    """Raise `ModelError` when a part is of a kind that no test has proven."""
    supported = SUPPORTED_VISION_TYPES if what == "vision" else SUPPORTED_LANGUAGE_TYPES
    if config.model_type not in supported:
        raise ModelError(
            f"a {what} part of type {config.model_type!r} is not supported",
            hint=f"supported are {', '.join(supported)}",
        )


def require_attention(config: PreTrainedConfig, attn_implementation: str | None) -> None:
    """Raise `ModelError` when a language model's attention cannot be computed as the recipe says.

    `config` is the language model's own. Gemma-2 caps its scores, for which `sdpa` has no place.
    """
    if config.model_type in EAGER_TYPES and attn_implementation == "sdpa":
        raise ModelError(
            f"a language model of type {config.model_type!r} caps its attention scores, which sdpa cannot",
            hint="leave out model.attn_implementation, or set it to eager",
        )


def require_right_features(config: Any) -> None:
    """Raise `ModelError` when the encoder has no such features, or a patch of every image would silently be lost."""
    layer, layers = config.vision_feature_layer, config.vision_config.num_hidden_layers
    if not isinstance(layer, int) or layer == 0 or not -layers - 1 <= layer <= layers:
        raise ModelError(
            f"vision_feature_layer is {layer}, but the vision encoder has {layers} layers",
            hint=f"name one layer: 1 to {layers}, or counted from the end, as -2",
        )
    if config.vision_feature_select_strategy == "default" and not has_class_token(config.vision_config):
        raise ModelError(
            f"vision_feature_select_strategy is 'default', which drops the first feature, but a "
            f"{config.vision_config.model_type} has no class token: every image would lose a patch",
            hint="set vision_feature_select_strategy: full",
        )
