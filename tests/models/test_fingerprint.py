"""Two models have one fingerprint when they hold the same, and only then; where they were found says nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from checkpoint_making import load_folder, rewrite_json, rewrite_tensors, save_folder
from part_making import VISION, assembled

from finesight.models.fingerprint import fingerprint_config, fingerprint_tokenizer, fingerprint_weights
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import Quantization

LANGUAGE = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 400,
}  # fmt: skip
PACKED = Quantization(bnb_4bit_compute_dtype="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint."""
    spec = assembled({"model_type": "clip_vision_model", **VISION}, LANGUAGE, tokenizer={"vocab_size": 340})
    loaded = load_model(spec, data_root=tmp_path, seed=1, texts=lambda: ["what colour is it? dark red"] * 20)
    return save_folder(loaded, tmp_path / "llava")


def fingerprints(loaded: Loaded) -> tuple[str, str, str]:
    return (
        fingerprint_weights(loaded.model),
        fingerprint_config(loaded.model),
        fingerprint_tokenizer(loaded.formatter.tokenizer),
    )


def test_a_checkpoint_that_was_moved_is_the_same(folder: Path) -> None:
    here = fingerprints(load_folder(folder))
    assert fingerprints(load_folder(folder.rename(folder.with_name("moved")))) == here


def test_one_changed_number_makes_another_model(folder: Path) -> None:
    weights, config, tokenizer = fingerprints(load_folder(folder))

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["language_model.lm_head.weight"][-1, -1] += 1e-3

    size = (folder / "model.safetensors").stat().st_size
    rewrite_tensors(folder, change)
    assert (folder / "model.safetensors").stat().st_size == size
    changed = fingerprints(load_folder(folder))
    assert changed[0] != weights
    assert changed[1:] == (config, tokenizer)


def test_what_computes_otherwise_with_the_same_weights_is_told_apart(folder: Path) -> None:
    weights, config, tokenizer = fingerprints(load_folder(folder))
    rewrite_json(folder / "config.json", lambda content: content["text_config"].update(rms_norm_eps=1e-3))
    changed = fingerprints(load_folder(folder))
    assert changed[1] != config
    assert (changed[0], changed[2]) == (weights, tokenizer)


def test_another_number_format_is_another_model(folder: Path) -> None:
    formats = ("float32", "bfloat16", "float16")
    assert len({fingerprint_weights(load_folder(folder, dtype=name).model) for name in formats}) == 3


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_packed_weights_count_with_their_constants(folder: Path) -> None:
    def packed(quantization: Quantization) -> str:
        return fingerprint_weights(load_folder(folder, dtype="float32", quantization=quantization).model)

    nf4 = packed(PACKED)
    assert packed(PACKED) == nf4
    others = {packed(PACKED.model_copy(update=change)) for change in (
        {"bnb_4bit_quant_type": "fp4"}, {"bnb_4bit_use_double_quant": False},
    )}  # fmt: skip
    assert len({nf4, fingerprint_weights(load_folder(folder, dtype="float32").model), *others}) == 4
