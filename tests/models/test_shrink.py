"""Miniatures: what is cut, and what stays as far from the end as it was."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, LlamaConfig

from finesight.models.shrink import smaller_causal, smaller_feature_layer, smaller_language


@pytest.mark.parametrize(("layer", "small"), [(-1, -1), (-2, -2), (-24, -3), (24, -1), (23, -2), (1, -3)])
def test_the_feature_layer_stays_as_far_from_the_end(layer: int, small: int) -> None:
    assert smaller_feature_layer(layer, 24) == small


def test_a_packed_checkpoint_has_a_miniature_of_plain_weights() -> None:
    """Its random weights are not packed, and would not be read as if they were."""
    packed = LlamaConfig(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    small = smaller_causal(packed)
    assert "quantization_config" not in small.to_dict()
    assert small.hidden_size < packed.hidden_size


@pytest.mark.parametrize("model_type", ["llama", "gemma", "gemma2", "phi", "qwen2"])
def test_what_is_cut_is_a_setting_that_the_configuration_has(model_type: str) -> None:
    """A recipe's written configuration with another one would be refused."""
    config = AutoConfig.for_model(model_type)
    assert smaller_language(config).keys() <= config.to_dict().keys()
