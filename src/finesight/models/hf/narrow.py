"""A family's configuration with its widths cut: the same classes, layers, names, tokens and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig

from finesight.models.shrink import HEADS, LANGUAGE_LAYERS, VISION_LAYERS, WIDTH

HEAD_WIDTH = WIDTH // HEADS
_WIDTHS = {"hidden_size": WIDTH, "embed_dim": WIDTH, "out_hidden_size": WIDTH, "projection_dim": WIDTH,
           "intermediate_size": 2 * WIDTH}  # fmt: skip
_HEADS = ("num_attention_heads", "num_heads")
_DEPTHS = ("num_hidden_layers", "depth")

Settings = dict[str, Any]


def narrow_config(config: PreTrainedConfig, *, shallow: bool) -> PreTrainedConfig:
    """Return the configuration with every width cut, and with `shallow` the depths too.

    Nothing is made larger than it was, but that widths which have to agree do so.
    """
    written: Settings = {**config.to_dict(), "dtype": "float32"}
    written.pop("quantization_config", None)
    written["text_config"] = _narrow(written["text_config"], LANGUAGE_LAYERS if shallow else None)
    written["vision_config"] = _narrow(written["vision_config"], VISION_LAYERS if shallow else None)
    if "projection_dim" in written:
        written["projection_dim"] = WIDTH
    if shallow and "vision_feature_layer" in written:
        written["vision_feature_layer"] = _nearest_layer(
            written["vision_feature_layer"], written["vision_config"]["num_hidden_layers"]
        )
    return type(config).from_dict(written)


def _narrow(part: Mapping[str, Any], layers: int | None) -> Settings:
    """Return the settings of one part; how heads share keys is kept in kind."""
    narrow = {**part, **{name: width for name, width in _WIDTHS.items() if part.get(name) is not None}}
    for name in _HEADS:
        if part.get(name) is not None:
            narrow[name] = HEADS
            if part.get("num_key_value_heads") is not None:
                narrow["num_key_value_heads"] = max(1, HEADS * part["num_key_value_heads"] // part[name])
    if part.get("head_dim") is not None:
        narrow["head_dim"] = HEAD_WIDTH
    if "mrope_section" in (rotary := part.get("rope_parameters") or {}):
        narrow["rope_parameters"] = {**rotary, "mrope_section": _three_sections(HEAD_WIDTH // 2)}
    return _cut(narrow, layers) if layers else narrow


def _cut(part: Settings, layers: int) -> Settings:
    """Return the settings with at most so many layers, and what is said of each layer cut likewise."""
    name = next(name for name in _DEPTHS if name in part)
    depth = min(part[name], layers)
    cut = {**part, name: depth}
    if part.get("layer_types"):
        cut["layer_types"] = part["layer_types"][:depth]
    if "fullatt_block_indexes" in part:
        cut["fullatt_block_indexes"] = [index for index in part["fullatt_block_indexes"] if index < depth] or [
            depth - 1
        ]
    return cut


def _nearest_layer(layer: int, layers: int) -> int:
    """Return a layer's number where only `layers` are left; it counts from the end as it did."""
    return max(layer, -layers) if layer < 0 else min(layer, layers)


def _three_sections(total: int) -> list[int]:
    """Return into how many frequencies each of three axes is divided."""
    first = total // 4
    second = (total - first) // 2
    return [first, second, total - first - second]
