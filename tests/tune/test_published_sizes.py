"""Parameter counts of published models, from their configurations alone, against those that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlavaForConditionalGeneration

from finesight.models.load import describe_model
from finesight.models.parts import PartMap
from finesight.models.reach import reachable_parameters
from finesight.recipe.model import AssembledModel
from finesight.recipe.recipe import Stage
from finesight.tune.audit import audit_parameters
from finesight.tune.peft_quiet import without_renaming_warning
from finesight.tune.prepare import describe_parameters

CLIP_LARGE_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
TINY_LLAMA = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
GEMMA_2B = {
    "model_type": "gemma",
    "vocab_size": 256064,
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_hidden_layers": 18,
    "num_attention_heads": 8,
    "num_key_value_heads": 1,
    "head_dim": 256,
}
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BEHIND_THE_FEATURES = 12_598_272
IN_THE_TOWER = 9_437_184


def describe(language: dict[str, Any]) -> tuple[LlavaForConditionalGeneration, PartMap]:
    spec = AssembledModel.model_validate(
        {"kind": "assembled", "vision": {"config": CLIP_LARGE_336}, "language": {"config": language}}
    )
    return describe_model(spec, data_root=Path())


def test_tiny_llama_with_clip() -> None:
    model, parts = describe(TINY_LLAMA)
    stage = Stage.model_validate({"tune": {"vision": "full", "projector": "full", "language": "full"}})
    table = describe_parameters(model, parts, stage)
    assert table["refusals"] == []
    assert table["total"] == table["trainable"] == 1_409_851_392
    assert {row["part"]: row["total"] for row in table["parts"]} == {
        "vision": 303_507_456,
        "projector": 6_295_552,
        "language": 1_100_048_384,
    }
    assert table["unreachable"] == BEHIND_THE_FEATURES


def test_llava_gemma_with_adapters_in_the_language_model_alone() -> None:
    model, parts = describe(GEMMA_2B)
    lora = {"method": "lora", "r": 64, "target_modules": SEVEN}
    table = describe_parameters(model, parts, Stage.model_validate({"tune": {"language": lora}}))
    assert table["refusals"] == []
    assert (table["trainable"], table["total"]) == (78_446_592, 2_894_553_088)
    assert table["parts"][0]["unreachable"] == BEHIND_THE_FEATURES


def test_llava_gemma_with_adapters_matched_by_suffix_is_refused() -> None:
    model, parts = describe(GEMMA_2B)
    described = frozenset(name for name, _ in model.named_parameters())
    reachable = reachable_parameters(model)
    model.requires_grad_(False)
    config = LoraConfig(r=64, target_modules=SEVEN)
    with without_renaming_warning():
        adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    stage = Stage.model_validate({"tune": {"language": {"method": "lora", "r": 64, "target_modules": SEVEN}}})
    table = audit_parameters(adapted, parts, reachable, described, stage.tune, stage.train)
    assert table["total"] == 2_903_990_272
    assert table["learning"] == 87_883_776
    assert table["parts"][0]["adapters"] == IN_THE_TOWER
    assert any(why.startswith(f"vision: {IN_THE_TOWER:,} adapter parameters in a part") for why in table["refusals"])


@pytest.mark.parametrize("language", [TINY_LLAMA, GEMMA_2B], ids=["llama", "gemma"])
def test_no_memory_is_taken(language: dict[str, Any]) -> None:
    model, _ = describe(language)
    assert {parameter.device for parameter in model.parameters()} == {torch.device("meta")}
