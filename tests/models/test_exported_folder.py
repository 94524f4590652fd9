"""An exported folder of every family: loaded by the class that the family has, with the logits of the merged model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import logits_of, save_folder
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from finesight.models.export import exported_spec, published_dtype, save_checkpoint
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import HfModel, LlavaModel, Model, MoondreamModel
from finesight.recipe.recipe import Stage
from finesight.schema import Example
from finesight.tune.prepare import merge_adapters, prepare_model
from hf_making import save_hf
from moondream_making import write_moondream

LORA = {"method": "lora", "r": 2, "lora_alpha": 8}
EVERYTHING = Stage.model_validate({"tune": {"vision": LORA, "projector": "full", "language": LORA}})


def learn(loaded: Loaded) -> Loaded:
    """Let a model have learned something, in every part."""
    prepare_model(loaded, EVERYTHING.tune, EVERYTHING.train)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    loaded.model.eval()
    return loaded


@pytest.fixture
def llava_folder(make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded], tmp_path: Path) -> Path:
    return save_folder(enliven(make_model("clip_vision_model", "gemma")), tmp_path / "llava")


def export(spec: Model, loaded: Loaded, folder: Path, dtype: torch.dtype = torch.float32) -> Loaded:
    """Return what is loaded from the folder that a tuned model is exported to."""
    merge_adapters(loaded)
    save_checkpoint(spec, loaded, folder, dtype)
    return load_model(exported_spec(spec, folder), data_root=Path())


@pytest.mark.parametrize("settings", [{}, {"image_size": 48}, {"system_prompt": "Be brief."}])
def test_a_llava(settings: dict[str, Any], llava_folder: Path, tmp_path: Path, examples: tuple[Example, ...]) -> None:
    spec = LlavaModel(kind="llava", name_or_path=str(llava_folder), **settings)
    loaded = learn(load_model(spec, data_root=Path()))
    expected = logits_of(loaded, examples[0])
    exported = export(spec, loaded, tmp_path / "exported")
    assert torch.allclose(logits_of(exported, examples[0]), expected, atol=1e-4)
    processor = AutoProcessor.from_pretrained(tmp_path / "exported")
    shown = processor(images=examples[0].images[0].open(), text="<image>", return_tensors="pt")
    features = exported.formatter.geometry.features  # type: ignore[attr-defined]
    assert int((shown["input_ids"] == exported.model.config.image_token_id).sum()) == features
    ours = exported.formatter.pixels(examples[0].images)
    assert ours is not None
    assert torch.equal(shown["pixel_values"], ours["pixel_values"])


@pytest.mark.parametrize("model_type", ["smolvlm", "qwen2_5_vl"])
def test_another_image_text_model(model_type: str, tmp_path: Path, examples: tuple[Example, ...]) -> None:
    spec = HfModel(kind="hf", name_or_path=str(save_hf(tmp_path / model_type, model_type)))
    loaded = learn(load_model(spec, data_root=Path()))
    question = loaded.formatter.encode(examples[0], answered=True)
    expected = forward(loaded, examples[0])
    exported = export(spec, loaded, tmp_path / "exported")
    again = exported.formatter.encode(examples[0], answered=True)
    assert again.prefix_ids.tolist() == question.prefix_ids.tolist()
    assert torch.allclose(forward(exported, examples[0]), expected, atol=1e-4)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "exported").dtype == torch.float32


def forward(loaded: Loaded, example: Example) -> torch.Tensor:
    """Return how likely an example's answers are found, token by token, as training finds it."""
    from finesight.branches.layout import lay_out
    from finesight.branches.loss import learned_losses

    rows = [loaded.formatter.encode(example, answered=True)]
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    with torch.no_grad():
        return learned_losses(loaded.model, layout, loaded.formatter.pixels(example.images), loaded.model.dtype)


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_a_moondream_goes_back_to_its_own_layout(year: str, tmp_path: Path, examples: tuple[Example, ...]) -> None:
    original = write_moondream(tmp_path / "moondream", year)
    spec = MoondreamModel(kind="moondream", name_or_path=str(original))
    loaded = load_model(spec, data_root=Path())
    save_checkpoint(spec, loaded, tmp_path / "untouched", published_dtype(spec, loaded, Path()))
    before, same = tensors_of(original), tensors_of(tmp_path / "untouched")
    assert before.keys() == same.keys()
    assert [name for name in before if not torch.equal(before[name], same[name])] == []
    learn(loaded)
    expected = forward(loaded, examples[0])
    exported = export(spec, loaded, tmp_path / "exported")
    assert torch.allclose(forward(exported, examples[0]), expected, atol=1e-4)
    assert tensors_of(tmp_path / "exported").keys() == before.keys()


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_generate_ends_where_finesight_does_and_draws_nothing(
    llava_folder: Path, tmp_path: Path, make_model: Callable[..., Loaded]
) -> None:
    spec = LlavaModel(kind="llava", name_or_path=str(llava_folder))
    loaded = load_model(spec, data_root=Path())
    loaded.model.generation_config.do_sample = True
    loaded.model.generation_config.temperature = 0.6
    save_checkpoint(spec, loaded, tmp_path / "exported", torch.float32)
    settings = json.loads((tmp_path / "exported" / "generation_config.json").read_text("utf-8"))
    assert settings["eos_token_id"] == sorted(loaded.formatter.end_ids)
    assert settings["suppress_tokens"] == [loaded.formatter.placeholder_id]
    assert not {"do_sample", "temperature"} & settings.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_checkpoints_own_number_format_is_found(dtype: torch.dtype, llava_folder: Path, tmp_path: Path) -> None:
    spec = LlavaModel(kind="llava", name_or_path=str(llava_folder), dtype="float32")
    save_checkpoint(spec, load_model(spec, data_root=Path()), tmp_path / "exported", dtype)
    published = LlavaModel(kind="llava", name_or_path=str(tmp_path / "exported"), dtype="float32")
    loaded = load_model(published, data_root=Path())
    assert loaded.model.dtype == torch.float32
    assert published_dtype(published, loaded, Path()) == dtype
