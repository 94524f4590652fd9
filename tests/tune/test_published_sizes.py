"""Parameter counts of published models, without network or weights, against those that are known to the unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from peft import LoraConfig, get_peft_model
from pydantic import TypeAdapter
from transformers import AutoModelForCausalLM, CLIPVisionModel, PreTrainedModel

from finesight.checking import count_parameters
from finesight.models.load import describe_model
from finesight.models.parts import PartMap
from finesight.models.reach import reachable_parameters
from finesight.recipe.model import Model
from finesight.recipe.recipe import Recipe, Stage
from finesight.tune.audit import audit_parameters
from finesight.tune.peft_quiet import without_renaming_warning

TINY_LLAMA = {
    "kind": "assembled",
    "vision": {"name_or_path": "openai/clip-vit-large-patch14-336"},
    "language": {"name_or_path": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"},
    "image_token": "<unk>",
}
LLAVA_GEMMA = {"kind": "llava", "name_or_path": "deepvk/llava-gemma-2b-lora"}
MOONDREAM = {"kind": "moondream", "name_or_path": "vikhyatk/moondream2", "revision": "2024-08-26"}
LLAMA = {"kind": "text", "name_or_path": "meta-llama/Llama-3.1-8B-Instruct"}
GEMMA_2 = {"kind": "text", "name_or_path": "google/gemma-2-9b-it"}
FULL = {"vision": "full", "projector": "full", "language": "full"}
FOUR = ["q_proj", "k_proj", "v_proj", "o_proj"]
SEVEN = [*FOUR, "gate_proj", "up_proj", "down_proj"]
BEHIND_THE_FEATURES = 12_598_272
IN_THE_TOWER = 9_437_184


@pytest.fixture(autouse=True)
def neither_network_nor_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def lora(rank: int, targets: list[str]) -> dict[str, Any]:
    return {"language": {"method": "lora", "r": rank, "target_modules": targets}}


def count(model: dict[str, Any], tune: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what `finesight params` would print of a recipe."""
    data, asked = {"train": [{"kind": "vqa_json", "file": "rows.json"}]}, [{"name": "held_out", "from": "test"}]
    recipe = Recipe.model_validate({"name": "counted", "model": model, "data": data, "tune": tune, "evaluate": asked})
    (stage,) = count_parameters(recipe, folder)["stages"]
    assert stage["refusals"] == []
    return dict(stage)


def describe(model: dict[str, Any]) -> tuple[PreTrainedModel, PartMap]:
    """Return a model on the meta device, and its parts."""
    return describe_model(TypeAdapter(Model).validate_python(model), data_root=Path(), may_stand_in=True)


@pytest.mark.parametrize(
    ("model", "tune", "trainable", "total"),
    [
        (MOONDREAM, lora(16, ["Wqkv", "out_proj"]), 4_718_592, 1_871_638_384),
        (LLAVA_GEMMA, lora(64, SEVEN), 78_446_592, 2_894_553_088),
        (LLAMA, lora(16, FOUR), 13_631_488, 8_043_892_736),
        (LLAMA, lora(4, ["q_proj", "v_proj"]), 1_703_936, 8_031_965_184),
        (GEMMA_2, lora(16, FOUR), 17_891_328, 9_259_597_312),
        (GEMMA_2, lora(4, ["q_proj", "v_proj"]), 2_236_416, 9_243_942_400),
        (GEMMA_2, lora(4, FOUR), 4_472_832, 9_246_178_816),
        (TINY_LLAMA, FULL, 1_409_851_392, 1_409_851_392),
    ],
)
def test_what_learns_and_all_there_is(
    model: dict[str, Any], tune: dict[str, Any], trainable: int, total: int, tmp_path: Path
) -> None:
    table = count(model, tune, tmp_path)
    assert (table["trainable"], table["total"]) == (trainable, total)


def test_the_parts_of_an_assembled_model(tmp_path: Path) -> None:
    table = count(TINY_LLAMA, FULL, tmp_path)
    assert {row["part"]: row["total"] for row in table["parts"]} == {
        "vision": 303_507_456,
        "projector": 6_295_552,
        "language": 1_100_048_384,
    }
    assert table["unreachable"] == BEHIND_THE_FEATURES


def test_the_parts_of_moondream(tmp_path: Path) -> None:
    table = count(MOONDREAM, FULL, tmp_path)
    assert {row["part"]: row["total"] for row in table["parts"]} == {
        "vision": 412_987_248,
        "projector": 35_661_824,
        "language": 1_418_270_720,
    }


@pytest.mark.parametrize(("image_token", "rows"), [("<unk>", 0), ("<image>", 1)])
def test_an_image_token_that_is_added_costs_a_row_of_embedding_and_head(
    image_token: str, rows: int, tmp_path: Path
) -> None:
    table = count({**TINY_LLAMA, "image_token": image_token}, FULL, tmp_path)
    assert table["total"] == 1_409_851_392 + rows * 2 * 2048


# What is unsound, built by hand: the audit counts it, and refuses it.


def test_adapters_matched_by_suffix_land_in_the_frozen_tower() -> None:
    model, parts = describe(LLAVA_GEMMA)
    described = frozenset(name for name, _ in model.named_parameters())
    reachable = reachable_parameters(model)
    model.requires_grad_(False)
    with without_renaming_warning():
        adapted = get_peft_model(model, LoraConfig(r=64, target_modules=SEVEN), low_cpu_mem_usage=True)
    stage = Stage.model_validate({"tune": lora(64, SEVEN)})
    table = audit_parameters(adapted, parts, reachable, described, stage.tune, stage.train)
    assert table["total"] == 2_903_990_272
    assert table["learning"] == 87_883_776
    assert table["parts"][0]["adapters"] == IN_THE_TOWER
    assert any(why.startswith(f"vision: {IN_THE_TOWER:,} adapter parameters in a part") for why in table["refusals"])


@pytest.mark.parametrize(("with_tower", "total"), [(False, 2_509_899_776), (True, 2_813_407_232)])
def test_parts_registered_beside_those_that_are_used_are_ghosts(with_tower: bool, total: int) -> None:
    model, parts = describe(TINY_LLAMA)
    described = frozenset(name for name, _ in model.named_parameters())
    reachable = reachable_parameters(model)
    ghosts = {"language_model": 1_100_048_384, **({"vision_tower": 303_507_456} if with_tower else {})}
    with torch.device("meta"):
        model.language_model = AutoModelForCausalLM.from_config(model.config.text_config)
        if with_tower:
            model.vision_tower = CLIPVisionModel(model.config.vision_config)
    stage = Stage.model_validate({"tune": FULL})
    table = audit_parameters(model, parts, reachable, described, stage.tune, stage.train)
    assert table["total"] == total
    for name, size in ghosts.items():
        (why,) = (why for why in table["refusals"] if why.startswith(f"{name}: {size:,} parameters that"))
        assert "a ghost" in why


@pytest.mark.parametrize("model", [TINY_LLAMA, LLAVA_GEMMA, MOONDREAM, LLAMA, GEMMA_2])
def test_no_memory_is_taken(model: dict[str, Any]) -> None:
    described, _ = describe(model)
    assert {parameter.device for parameter in described.parameters()} == {torch.device("meta")}
