"""The deep checks pass for every kind of model as it is, in the number format that people load it in."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from training_setup import FULL, contexts_of, stage_of

from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import MoondreamModel, Quantization
from finesight.schema import Example
from finesight.train.checks.check import Check
from finesight.train.checks.preflight import preflight_stages
from hf_making import QUESTIONS, SAMPLES, load_hf_folder, save_hf
from moondream_making import write_moondream

LORA = {"method": "lora", "r": 2, "target_modules": "all-linear"}
MIXED = {"projector": "full", "language": LORA}
CHECKS = [
    "computing format", "rows", "first loss", "gradients", "ten steps", "frozen weights", "checkpoint", "trial", "disk",
]  # fmt: skip


def try_out(loaded: Loaded, tune: dict[str, Any], folder: Path, examples: Sequence[Example] = QUESTIONS) -> list[Check]:
    stage = stage_of(tune, global_batch_size=2)
    stages = [(stage, contexts_of(loaded, examples))]
    return preflight_stages(loaded, stages, seed=1, max_tokens=4096, folder=folder)[stage.name]


def require_all_passed(checks: Sequence[Check]) -> None:
    assert [check.name.removesuffix(" of tune") for check in checks] == CHECKS
    assert not [f"{check.name}: {check.message}" for check in checks if check.status != "pass"]


@pytest.mark.parametrize("tune", [MIXED, FULL], ids=["adapters", "full"])
@pytest.mark.parametrize("model_type", SAMPLES)
def test_a_family_of_the_hub_in_bfloat16(model_type: str, tune: dict[str, Any], tmp_path: Path) -> None:
    """Qwen2-VL's vision encoder keeps a table in float32, which is no fault of it."""
    loaded = load_hf_folder(save_hf(tmp_path / model_type, model_type), dtype="bfloat16")
    require_all_passed(try_out(loaded, tune, tmp_path))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_moondream(layout: str, dtype: str, tmp_path: Path) -> None:
    write_moondream(tmp_path / layout, layout)
    spec = MoondreamModel(kind="moondream", name_or_path=layout, crops="several", dtype=dtype)
    require_all_passed(try_out(load_model(spec, data_root=tmp_path), MIXED, tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "paligemma"])
def test_packed_weights(model_type: str, tmp_path: Path) -> None:
    # 4-bit weights come in blocks of 64.
    folder = save_hf(tmp_path / model_type, model_type, hidden_size=64, intermediate_size=128)
    loaded = load_hf_folder(folder, dtype="bfloat16", quantization=Quantization())
    require_all_passed(try_out(loaded, {"language": LORA}, tmp_path))
