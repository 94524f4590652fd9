"""How small a miniature is: widths and depths are cut, and everything that decides how a model computes is kept."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from finesight.models.families import image_geometry

WIDTH = 64
"""Of the hidden states; 4-bit weights need a multiple of it."""
HEADS = 4
VISION_LAYERS = 3
LANGUAGE_LAYERS = 2
PATCHES = 4
"""Along a side of the picture."""

Settings = dict[str, Any]


def smaller_vision(config: PreTrainedConfig) -> Settings:
    """Return what changes in a vision encoder's configuration. Nothing is ever made larger than it was."""
    return {
        **_narrower(config),
        "num_hidden_layers": min(config.num_hidden_layers, VISION_LAYERS),
        "image_size": min(config.image_size, PATCHES * config.patch_size),
    }


def smaller_language(config: PreTrainedConfig) -> Settings:
    """Return what changes in a language model's configuration; how heads share keys is kept in kind."""
    layers = min(config.num_hidden_layers, LANGUAGE_LAYERS)
    settings = {**_narrower(config), "num_hidden_layers": layers}
    if layer_types := config.to_dict().get("layer_types"):
        settings["layer_types"] = layer_types[:layers]  # Gemma-2's take turns from the first on
    if "num_attention_heads" in settings:
        shared = config.num_attention_heads // config.num_key_value_heads
        settings["num_key_value_heads"] = max(1, HEADS // shared)
        if "head_dim" in config.to_dict():  # Phi and Qwen2 have none: their heads share the width
            settings["head_dim"] = WIDTH // HEADS
    return settings


def smaller_checkpoint(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the configuration of a vision encoder in miniature: CLIP's or SigLIP's own, or the whole's."""
    written = _unpacked(config)
    if config.model_type in ("clip", "siglip"):
        written["vision_config"] |= smaller_vision(config.vision_config)
        text = config.text_config
        written["text_config"] |= {
            **_narrower(text), "num_hidden_layers": min(text.num_hidden_layers, LANGUAGE_LAYERS)
        }  # fmt: skip
        return type(config).from_dict(written)
    return type(config).from_dict(written | smaller_vision(config))


def smaller_causal(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the configuration of a language model in miniature."""
    return type(config).from_dict({**_unpacked(config), **smaller_language(config)})


def smaller_llava(config: Any) -> Any:
    """Return a LLaVA's configuration in miniature: the same parts, joined in the same way."""
    written = _unpacked(config)
    written["vision_config"] |= smaller_vision(config.vision_config)
    written["text_config"] |= smaller_language(config.text_config)
    layers = config.vision_config.num_hidden_layers
    written["vision_feature_layer"] = smaller_feature_layer(config.vision_feature_layer, layers)
    small = type(config).from_dict(written)
    small.image_seq_length = image_geometry(small.vision_config, small.vision_feature_select_strategy).features
    return small


def smaller_feature_layer(layer: int, layers: int) -> int:
    """Return the layer that is as far from the end in the miniature as `layer` of `layers` is, or the first one.

    Layer 0 is the embedding, so that `layers` + 1 hidden states are counted.
    """
    from_end = -layer if layer < 0 else layers + 1 - layer
    return -min(from_end, layers, VISION_LAYERS)


def smaller_image_size(image_size: int | None, vision: PreTrainedConfig) -> int | None:
    """Return `model.image_size` for the miniature of an encoder: its own size, or one that is as much another.

    A size that the patches do not divide is left as it is, and refused as it would be.
    """
    patch = vision.patch_size
    if image_size is None or image_size % patch:
        return image_size
    own = int(smaller_vision(vision)["image_size"])
    return own if image_size == vision.image_size else (own // patch + 1) * patch


def _unpacked(config: PreTrainedConfig) -> Settings:
    """Return a configuration's settings for float32 weights, whatever the checkpoint's own are packed into."""
    written: Settings = {**config.to_dict(), "dtype": "float32"}
    written.pop("quantization_config", None)
    return written


def _narrower(config: PreTrainedConfig) -> Settings:
    settings: Settings = {"intermediate_size": min(config.intermediate_size, 2 * WIDTH)}
    if config.hidden_size > WIDTH:
        settings |= {"hidden_size": WIDTH, "num_attention_heads": HEADS}
    return settings
