"""4-bit and 8-bit language models: what is quantised, that they learn, and that what they learned is kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import load_folder, logits_of, save_folder
from part_making import VISION, assembled

from finesight.branches.contexts import share_contexts
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.errors import UserError
from finesight.models.load import describe_model, load_model
from finesight.models.quantize import quantization_arguments
from finesight.recipe.model import LlavaModel, Quantization
from finesight.recipe.recipe import Stage
from finesight.schema import Example
from finesight.tune.prepare import describe_parameters, prepare_model
from finesight.tune.weights import load_trained, save_trained

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
# 4-bit weights come in blocks of 64.
LANGUAGE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 400,
}
QUANTIZATION = Quantization(bnb_4bit_compute_dtype="float32")
WIDTHS = pytest.mark.parametrize("quantization", [QUANTIZATION, Quantization(load_in_8bit=True)], ids=["4", "8"])
LORA_AND_PROJECTOR = {"projector": "full", "language": {"method": "lora", "r": 2}}


def stage_of(tune: dict[str, Any]) -> Stage:
    return Stage.model_validate({"tune": tune, "train": {"learning_rate": 1e-2}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = assembled({"model_type": "clip_vision_model", **VISION}, LANGUAGE, tokenizer={"vocab_size": 340})
    loaded = load_model(spec, data_root=Path(), seed=1, texts=lambda: ["what colour is it? dark red"] * 20)
    return save_folder(loaded, tmp_path_factory.mktemp("quantize") / "llava")


def test_without_bitsandbytes_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs bitsandbytes, which is not installed") as caught:
        quantization_arguments(QUANTIZATION)
    assert "finesight[quantize]" in caught.value.hint
    assert quantization_arguments("none") == {}


@needs_bitsandbytes
@WIDTHS
def test_the_language_models_layers_are_quantised_and_nothing_else(folder: Path, quantization: Quantization) -> None:
    loaded = load_folder(folder, quantization=quantization)
    packed = {name for name, parameter in loaded.model.named_parameters() if not parameter.is_floating_point()}
    linear = {
        f"{name}.weight"
        for name, module in loaded.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("model.language_model.")
    }
    assert packed == linear
    assert len(packed) == 2 * 7


@needs_bitsandbytes
@WIDTHS
def test_quantised_weights_count_as_the_parameters_they_stand_for(folder: Path, quantization: Quantization) -> None:
    stage = stage_of(LORA_AND_PROJECTOR)
    described = describe_parameters(
        *describe_model(LlavaModel(kind="llava", name_or_path="llava"), data_root=folder.parent), stage
    )
    assert prepare_model(load_folder(folder, quantization=quantization), stage.tune, stage.train) == described


@needs_bitsandbytes
@WIDTHS
def test_adapters_over_quantised_weights_learn_and_are_kept(
    folder: Path, quantization: Quantization, tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    loaded, stage = load_folder(folder, quantization=quantization), stage_of(LORA_AND_PROJECTOR)
    logits_of(loaded, examples[0])  # as the evaluation before training: it must leave a model that can learn
    prepare_model(loaded, stage.tune, stage.train)
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = learned_losses(loaded.model, layout, pixels, loaded.model.dtype).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    loaded.model.eval()
    save_trained(loaded, tmp_path / "trained")
    again = load_folder(folder, quantization=quantization)
    assert not torch.equal(logits_of(again, examples[0]), logits_of(loaded, examples[0]))
    load_trained(again, tmp_path / "trained")
    again.model.eval()
    assert torch.equal(logits_of(again, examples[0]), logits_of(loaded, examples[0]))


@needs_bitsandbytes
@WIDTHS
def test_quantised_weights_cannot_be_tuned_in_full(folder: Path, quantization: Quantization) -> None:
    stage = stage_of({"language": "full"})
    with pytest.raises(UserError, match="quantised and cannot be trained in full") as caught:
        prepare_model(load_folder(folder, quantization=quantization), stage.tune, stage.train)
    assert "lora" in caught.value.hint


def test_8_bit_weights_take_no_settings_of_4_bit_ones() -> None:
    with pytest.raises(ValueError, match="takes none of the bnb_4bit settings"):
        Quantization(load_in_8bit=True, bnb_4bit_quant_type="fp4")
    written_out = Quantization(load_in_8bit=True).model_dump()
    assert Quantization.model_validate(written_out).load_in_8bit, "as a run folder's recipe holds it"


@needs_bitsandbytes
@WIDTHS
def test_8_bit_weights_answer_nearer_to_the_unquantised_model(
    folder: Path, quantization: Quantization, examples: tuple[Example, ...]
) -> None:
    plain = logits_of(load_folder(folder), examples[0])
    error = (logits_of(load_folder(folder, quantization=quantization), examples[0]) - plain).norm() / plain.norm()
    assert (error < 0.02) == quantization.load_in_8bit
    assert error > 0


@needs_bitsandbytes
@WIDTHS
def test_adapters_are_not_merged_into_quantised_weights(folder: Path, quantization: Quantization) -> None:
    loaded, stage = load_folder(folder, quantization=quantization), stage_of(LORA_AND_PROJECTOR)
    prepare_model(loaded, stage.tune, stage.train)
    with pytest.raises(UserError, match="cannot be merged into quantised weights") as caught:
        prepare_model(loaded, stage.tune, stage.train)
    assert "one stage" in caught.value.hint
