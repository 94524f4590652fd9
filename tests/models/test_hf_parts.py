"""`kind: hf`: parts, reach, 4-bit weights, miniatures, and what is written for transformers to load."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from finesight.branches.contexts import share_contexts
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.models.hf.families import FAMILIES
from finesight.models.hf.load import meta_hf
from finesight.models.hf.narrow import narrow_config
from finesight.models.load import describe_model
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters, is_quantized
from finesight.models.reach import reachable_parameters
from finesight.recipe.model import HfModel, Quantization
from finesight.recipe.recipe import Stage
from finesight.schema import PART_NAMES
from finesight.tune.prepare import describe_parameters, prepare_model
from hf_making import QUESTIONS, SAMPLES, load_hf_folder, save_hf

EVERYWHERE = {"vision": "full", "projector": "full", "language": "full"}


def stage_of(**tune: object) -> Stage:
    return Stage.model_validate({"tune": tune, "train": {"learning_rate": 1e-2}})


def loss_of(loaded: Loaded) -> torch.Tensor:
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in QUESTIONS)
    pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
    return learned_losses(loaded.model, lay_out(rows, padding_id=0), pixels, torch.float32).sum()


@pytest.mark.parametrize("model_type", SAMPLES)
def test_parts_cover_every_parameter_exactly_once(model_type: str, tmp_path: Path) -> None:
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type))
    for part in PART_NAMES:
        assert list(loaded.parts.parameters_of(loaded.model, part)), f"{part} is empty"
    counted = [p.name for part in PART_NAMES for p in loaded.parts.parameters_of(loaded.model, part)]
    assert sorted(counted) == sorted(name for name, _ in loaded.model.named_parameters())
    described, parts = describe_model(HfModel(kind="hf", name_or_path=model_type), data_root=tmp_path)
    assert parts == loaded.parts
    assert {name: p.shape for name, p in described.named_parameters()} == {
        name: p.shape for name, p in loaded.model.named_parameters()
    }


@pytest.mark.parametrize("model_type", SAMPLES)
def test_what_is_reachable_is_what_gets_a_gradient_from_data(model_type: str, tmp_path: Path) -> None:
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type))
    loss_of(loaded).backward()
    reached = {name for name, parameter in loaded.model.named_parameters() if parameter.grad is not None}
    assert reachable_parameters(loaded.meta_twin()) == reached


def test_the_layer_behind_the_features_is_unreachable(tmp_path: Path) -> None:
    described, parts = describe_model(
        HfModel(kind="hf", name_or_path=str(save_hf(tmp_path / "llava_next", "llava_next"))), data_root=tmp_path
    )
    table = describe_parameters(described, parts, stage_of(**EVERYWHERE))
    (vision,) = (part for part in table["parts"] if part["part"] == "vision")
    assert vision["trainable"] > vision["learning"] > 0


@pytest.mark.parametrize("model_type", SAMPLES)
def test_a_step_changes_what_should_learn_and_nothing_else(model_type: str, tmp_path: Path) -> None:
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type))
    lora = {"method": "lora", "r": 2, "target_modules": "all-linear"}
    stage = stage_of(vision="frozen", projector="full", language=lora)
    prepare_model(loaded, stage.tune, stage.train)
    before = {p.name: p.parameter.detach().clone() for p in bare_parameters(loaded.model)}
    learning = {p.name for p in bare_parameters(loaded.model) if p.parameter.requires_grad}
    assert {loaded.parts.part_of(name) for name in learning} == {"projector", "language"}
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):  # in the first step a lora_A behind a lora_B of zeros has no gradient
        optimizer.zero_grad()
        loss_of(loaded).backward()
        optimizer.step()
    changed = {p.name for p in bare_parameters(loaded.model) if not torch.equal(before[p.name], p.parameter)}
    assert changed == learning


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("model_type", ["smolvlm", "qwen2_5_vl", "paligemma"])
def test_only_the_language_model_becomes_4_bit(model_type: str, tmp_path: Path) -> None:
    # 4-bit weights come in blocks of 64.
    folder = save_hf(tmp_path / model_type, model_type, hidden_size=64, intermediate_size=128)
    loaded = load_hf_folder(folder, quantization=Quantization(bnb_4bit_compute_dtype="float32"))
    packed = {name for name, parameter in loaded.model.named_parameters() if is_quantized(parameter)}
    assert packed
    assert {loaded.parts.part_of(name) for name in packed} == {"language"}
    assert not any("lm_head" in name or "embed" in name for name in packed)
    stage = stage_of(projector="full", language={"method": "lora", "r": 2})
    prepare_model(loaded, stage.tune, stage.train)
    loss = loss_of(loaded)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for name, p in loaded.model.named_parameters() if p.requires_grad)


# Miniatures.


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("shallow", [True, False])
def test_a_published_configuration_is_narrowed(model_type: str, shallow: bool) -> None:
    """Of the family's own defaults, which are the sizes of a published model."""
    real = AutoConfig.for_model(model_type)
    small = meta_hf(narrow_config(real, shallow=shallow))
    names = {name for name, _ in meta_hf(real).named_parameters()}
    assert sum(parameter.numel() for parameter in small.parameters()) < 120_000_000
    assert {name for name, _ in small.named_parameters()} <= names
    if not shallow:
        assert {name for name, _ in small.named_parameters()} == names


@pytest.mark.parametrize("model_type", SAMPLES)
def test_a_miniature_sees_pictures_as_the_model_does(model_type: str, tmp_path: Path) -> None:
    folder = save_hf(tmp_path / model_type, model_type, hidden_size=96)
    loaded = load_hf_folder(folder)
    small = AutoModelForImageTextToText.from_config(narrow_config(loaded.model.config, shallow=True))
    pixels = loaded.formatter.pixels(QUESTIONS[0].images)
    assert pixels is not None
    with torch.no_grad():
        features = [len(of_image) for of_image in small.get_image_features(**pixels).pooler_output]
    assert sum(features) == loaded.formatter.image_tokens(QUESTIONS[0].images[0])


# What is written.


@pytest.mark.parametrize("model_type", ["idefics3", "paligemma", "llava_next", "gemma3"])
def test_a_processor_is_written_as_transformers_reads_it(model_type: str, tmp_path: Path) -> None:
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type))
    loaded.formatter.processor.processor.save_pretrained(tmp_path / "written")  # type: ignore[attr-defined]
    first, again = (AutoProcessor.from_pretrained(tmp_path / name) for name in (model_type, "written"))
    question = {"text": f"{first.image_token}what?", "images": QUESTIONS[0].images[0].open(), "return_tensors": "np"}
    one, other = first(**question), again(**question)
    assert one.keys() == other.keys()
    for name in ("input_ids", "pixel_values"):
        assert (one[name] == other[name]).all()


@pytest.mark.parametrize("model_type", SAMPLES)
def test_what_is_written_loads_as_it_was(model_type: str, tmp_path: Path) -> None:
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type))
    folder = tmp_path / "written"
    loaded.model.save_pretrained(folder)
    loaded.formatter.processor.processor.save_pretrained(folder)  # type: ignore[attr-defined]
    again = load_hf_folder(folder)
    ours, theirs = (model.formatter.encode(QUESTIONS[0], answered=True) for model in (loaded, again))
    assert ours.prefix_ids.tolist() == theirs.prefix_ids.tolist()
    assert torch.equal(loss_of(loaded), loss_of(again))
