"""What learns is what was asked for: the reachable set, the table of parameters, and what the audit refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from finesight.branches.contexts import share_contexts
from finesight.branches.images import image_arguments
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.errors import CheckFailed, UserError
from finesight.models.load import describe_model
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.models.reach import reachable_parameters
from finesight.recipe.model import AssembledModel
from finesight.recipe.recipe import Stage
from finesight.recipe.tune import Tune
from finesight.schema import PART_NAMES, Example
from finesight.tune.audit import audit_parameters, require_sound
from finesight.tune.peft_quiet import without_renaming_warning
from finesight.tune.prepare import describe_parameters, prepare_model

FAMILIES = list(itertools.product(("clip_vision_model", "siglip_vision_model"), ("llama", "gemma")))
LORA = {"method": "lora", "r": 2}
QV = {**LORA, "target_modules": ["q_proj", "v_proj"]}
MIXTURES = [
    {"vision": "full", "projector": "full", "language": "full"},
    {"projector": "full"},
    {"projector": "full", "language": QV},
    {"vision": LORA, "projector": LORA, "language": {**LORA, "r": 4}},
    {"vision": {**LORA, "r": 3}, "language": "full"},
]


def stage_of(tune: dict[str, Any]) -> Stage:
    return Stage.model_validate({"tune": tune})


def audit(loaded: Loaded, tune: dict[str, Any], model: nn.Module | None = None) -> dict[str, Any]:
    """Audit a model that was changed by hand, against its own configuration."""
    twin, stage = loaded.meta_twin(), stage_of(tune)
    described = frozenset(name for name, _ in twin.named_parameters())
    return audit_parameters(
        model or loaded.model, loaded.parts, reachable_parameters(twin), described, stage.tune, stage.train
    )


def rows_of(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["part"]: row for row in table["parts"]}


# What a gradient reaches.


@pytest.mark.parametrize(("vision", "language"), FAMILIES)
@pytest.mark.parametrize("layer", [-1, -2])
def test_reachable_is_what_gets_a_gradient_in_a_real_backward_pass(
    vision: str, language: str, layer: int, make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    loaded = make_model(vision, language, vision_feature_layer=layer)
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples if example.images)
    pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    loaded.model.requires_grad_(True)
    learned_losses(loaded.model, layout, pixels, loaded.model.dtype).sum().backward()
    real = {name for name, parameter in loaded.model.named_parameters() if parameter.grad is not None}
    assert reachable_parameters(loaded.meta_twin()) == real
    assert real < {name for name, _ in loaded.model.named_parameters()}


# The table.


@pytest.mark.parametrize(("vision", "language"), [FAMILIES[0], FAMILIES[-1]])
@pytest.mark.parametrize("tune", MIXTURES, ids=str)
def test_the_table_without_weights_is_that_of_the_real_model(
    vision: str,
    language: str,
    tune: dict[str, Any],
    make_spec: Callable[..., AssembledModel],
    make_model: Callable[..., Loaded],
) -> None:
    stage = stage_of(tune)
    model, parts = describe_model(make_spec(vision, language), data_root=Path())
    described = describe_parameters(model, parts, stage)
    loaded = make_model(vision, language)
    assert described == prepare_model(loaded, stage.tune, stage.train)
    assert described["refusals"] == []
    assert described["total"] == sum(parameter.numel() for parameter in loaded.model.parameters())
    assert described["learning"] == sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    assert described["total"] == sum(row["total"] for row in described["parts"])


def test_a_fully_tuned_part_learns_what_is_reachable_and_counts_the_rest_apart(
    make_model: Callable[..., Loaded],
) -> None:
    stage = stage_of({"vision": "full"})
    row = rows_of(prepare_model(make_model(), stage.tune, stage.train))["vision"]
    assert row["trainable"] == row["total"] == row["learning"] + row["unreachable"]
    assert row["unreachable"] > 0
    assert all("layers.2" in name or "post_layernorm" in name for name in row["unreachable_tensors"])


def test_tied_embeddings_are_counted_once(make_model: Callable[..., Loaded]) -> None:
    stage = stage_of({"language": "full"})
    tables = {
        kind: rows_of(prepare_model(make_model(language=kind), stage.tune, stage.train)) for kind in ("llama", "gemma")
    }
    head = 400 * 48
    assert tables["llama"]["language"]["total"] - tables["gemma"]["language"]["total"] == head


# Where adapters land.


def adapted_layers(loaded: Loaded) -> dict[str, set[str]]:
    """Return the layers that carry an adapter, by part."""
    names = [parameter.name.split(".lora_")[0] for parameter in bare_parameters(loaded.model) if parameter.is_adapter]
    return {part: {name for name in names if loaded.parts.part_of(name) == part} for part in PART_NAMES}


def test_names_in_a_recipe_never_match_outside_their_part(make_model: Callable[..., Loaded]) -> None:
    loaded, stage = make_model(), stage_of({"language": QV})
    table = rows_of(prepare_model(loaded, stage.tune, stage.train))
    layers = adapted_layers(loaded)
    assert (len(layers["vision"]), len(layers["projector"]), len(layers["language"])) == (0, 0, 4)
    assert table["language"]["adapters"] == 2 * 2 * (48 + 48 + 48 + 24)
    assert table["vision"]["adapters"] == 0


def test_every_part_has_its_own_adapter_of_its_own_rank(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    stage = stage_of({part: {**LORA, "r": rank} for part, rank in zip(PART_NAMES, (1, 2, 3), strict=True)})
    table = rows_of(prepare_model(loaded, stage.tune, stage.train))
    assert isinstance(loaded.model, PeftModel)
    assert {name: config.r for name, config in loaded.model.peft_config.items()} == {
        "vision": 1,
        "projector": 2,
        "language": 3,
    }
    for parameter in bare_parameters(loaded.model):
        if ".lora_A." in parameter.name:
            part = loaded.parts.part_of(parameter.name)
            assert part is not None
            assert parameter.parameter.requires_grad
            assert parameter.parameter.shape[0] == loaded.model.peft_config[part].r
    assert [table[part]["tuning"] for part in PART_NAMES] == ["lora r=1", "lora r=2", "lora r=3"]


def test_all_linear_leaves_the_head_and_what_no_gradient_reaches_alone(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    stage = stage_of({part: LORA for part in PART_NAMES})
    prepare_model(loaded, stage.tune, stage.train)
    layers = adapted_layers(loaded)
    assert "lm_head" not in layers["language"]
    assert len(layers["language"]) == 2 * 7
    assert layers["projector"] == {f"model.multi_modal_projector.linear_{number}" for number in (1, 2)}
    assert len(layers["vision"]) == 2 * 6, "the third layer stands behind the features"


def test_the_head_gets_an_adapter_when_it_is_named(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    stage = stage_of({"language": {**LORA, "target_modules": ["lm_head"]}})
    prepare_model(loaded, stage.tune, stage.train)
    assert adapted_layers(loaded)["language"] == {"lm_head"}


@pytest.mark.parametrize(
    ("part", "names", "unknown", "there"),
    [
        ("language", ["q_proj", "Wqkv"], "Wqkv", "gate_proj"),
        ("projector", ["q_proj"], "q_proj", "linear_1, linear_2"),
        ("vision", ["gate_proj", "o_proj"], "gate_proj, o_proj", "fc1"),
    ],
)
def test_a_name_that_no_layer_of_the_part_has_is_refused_with_those_it_has(
    part: str, names: list[str], unknown: str, there: str, make_model: Callable[..., Loaded]
) -> None:
    stage = stage_of({part: {**LORA, "target_modules": names}})
    with pytest.raises(UserError, match=rf"tune\.{part}\.target_modules: .* called {unknown}\n") as caught:
        prepare_model(make_model(), stage.tune, stage.train)
    assert there in caught.value.hint


def test_layers_that_no_gradient_reaches_get_no_adapter(make_model: Callable[..., Loaded]) -> None:
    stage = stage_of({"vision": LORA})
    with pytest.raises(UserError, match=r"tune\.vision: no gradient reaches") as caught:
        prepare_model(make_model(vision_feature_layer=-4), stage.tune, stage.train)
    assert "frozen" in caught.value.hint


# What the audit refuses.


def test_a_second_language_model_registered_beside_the_first_is_a_ghost(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    loaded.model.language_model = AutoModelForCausalLM.from_config(loaded.model.config.text_config)
    stage = stage_of({"language": "full"})
    with pytest.raises(CheckFailed, match="a ghost") as caught:
        prepare_model(loaded, stage.tune, stage.train)
    ghost = sum(parameter.numel() for parameter in loaded.model.language_model.parameters())
    assert f"language_model: {ghost:,} parameters" in caught.value.message


def test_a_whole_language_model_in_place_of_its_body_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    loaded.model.model.language_model = AutoModelForCausalLM.from_config(loaded.model.config.text_config)
    refusals = audit(loaded, {"language": "full"})["refusals"]
    assert any("model.language_model.model" in why and "does not describe" in why for why in refusals)
    assert any("model.language_model.lm_head" in why for why in refusals)


def test_adapters_matched_by_suffix_land_in_the_tower_and_are_refused(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    loaded.model.requires_grad_(False)
    with without_renaming_warning():
        model = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    table = audit(loaded, {"language": QV}, model)
    in_tower = 3 * 2 * 2 * (32 + 32)
    assert rows_of(table)["vision"]["adapters"] == in_tower
    assert any(why.startswith(f"vision: {in_tower:,} adapter parameters in a part") for why in table["refusals"])
    with pytest.raises(CheckFailed, match="suffix"):
        require_sound(table)


def test_an_adapter_behind_the_features_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    loaded.model.requires_grad_(False)
    last = "model.vision_tower.encoder.layers.2.self_attn.q_proj"
    with without_renaming_warning():
        model = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=[last]), adapter_name="vision")
    (refusal,) = audit(loaded, {"vision": LORA}, model)["refusals"]
    assert "where no gradient arrives" in refusal
    assert last in refusal


def test_a_frozen_part_left_learning_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded, stage = make_model(), stage_of({"projector": "full"})
    prepare_model(loaded, stage.tune, stage.train)
    loaded.model.model.vision_tower.embeddings.patch_embedding.weight.requires_grad_(True)
    (refusal,) = audit(loaded, {"projector": "full"})["refusals"]
    assert refusal.startswith("vision: 6,144 parameters learn though it is frozen")


def test_a_full_part_left_frozen_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded, stage = make_model(), stage_of({"projector": "full"})
    prepare_model(loaded, stage.tune, stage.train)
    loaded.model.model.multi_modal_projector.linear_1.bias.requires_grad_(False)
    (refusal,) = audit(loaded, {"projector": "full"})["refusals"]
    assert refusal.startswith("projector: 48 parameters are frozen though it is tuned in full")


def test_an_adapter_left_frozen_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded, stage = make_model(), stage_of({"language": QV})
    prepare_model(loaded, stage.tune, stage.train)
    loaded.model.requires_grad_(False)
    (refusal,) = audit(loaded, {"language": QV})["refusals"]
    assert refusal.startswith("language: 672 adapter parameters are frozen")


def test_a_part_without_the_adapter_that_was_asked_for_is_refused(make_model: Callable[..., Loaded]) -> None:
    loaded, stage = make_model(), stage_of({"language": QV})
    prepare_model(loaded, stage.tune, stage.train)
    assert audit(loaded, {"language": QV, "projector": LORA})["refusals"] == [
        "projector: no adapter, though the recipe asks for lora"
    ]


# Stage after stage.


def test_adapters_of_a_stage_are_merged_before_the_next(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    loaded = make_model()
    first, second = stage_of({"language": QV}), stage_of({"projector": "full", "language": {**LORA, "r": 3}})
    prepare_model(loaded, first.tune, first.train)
    with torch.no_grad():
        for parameter in bare_parameters(loaded.model):
            if parameter.is_adapter:
                parameter.parameter.normal_(std=0.2)
    before = _logits(loaded, examples)
    table = prepare_model(loaded, second.tune, second.train)
    assert torch.allclose(_logits(loaded, examples), before, atol=1e-5)
    assert rows_of(table)["language"]["tuning"] == "lora r=3"
    assert loaded.changed_parts == {"projector", "language"}
    assert list(loaded.model.peft_config) == ["language"]


def test_a_part_that_was_tuned_is_frozen_again_when_the_next_stage_says_so(make_model: Callable[..., Loaded]) -> None:
    loaded = make_model()
    for tune in ({"vision": "full", "language": "full"}, {"projector": "full"}):
        prepare_model(loaded, Tune.model_validate(tune), stage_of(tune).train)
    learning = {loaded.parts.part_of(p.name) for p in bare_parameters(loaded.model) if p.parameter.requires_grad}
    assert learning == {"projector"}


@torch.no_grad()
def _logits(loaded: Loaded, examples: tuple[Example, ...]) -> torch.Tensor:
    loaded.model.eval()
    single = loaded.formatter.encode(examples[0], answered=True)
    ids = torch.tensor([[*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]])
    logits: torch.Tensor = loaded.model(
        input_ids=ids, **image_arguments(loaded.model, loaded.formatter.pixels(single.images))
    ).logits
    return logits
