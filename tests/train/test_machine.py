"""What a recipe needs of the machine is said before anything is read or loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from training_setup import stage_of

from finesight.errors import UserError
from finesight.recipe.recipe import Recipe
from finesight.run import fine_tune
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.train.machine import require_machine

LORA = {"language": {"method": "lora", "r": 2}}


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def no_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finesight.train.machine.find_spec", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def run_of(folder: Path, *, train: dict[str, Any], model: dict[str, Any]) -> RunDir:
    """Return a run whose model and data are nowhere: whatever looks for them ends it with another message."""
    recipe = Recipe.model_validate({
        "name": "trial",
        "model": {"kind": "text", "name_or_path": "./nowhere", **model},
        "data": {"train": [{"kind": "svg_captions", "file": "nowhere.json"}]},
        "tune": LORA,
        "train": train,
        "evaluate": [{"name": "held_out", "from": "test"}],
    })  # fmt: skip
    return RunDir.new(recipe, folder, folder)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("train", "message", "hint"),
    [
        ({"optim": "paged_adamw_8bit"}, r"train\.optim: paged_adamw_8bit needs a GPU", "adamw_8bit"),
        ({"fp16": True}, r"train\.fp16 needs a GPU", "train.fp16=false"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(
    train: dict[str, Any], message: str, hint: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path / "run", train=train, model={})
    with pytest.raises(UserError, match=message) as caught:
        fine_tune(run, max_tokens=512, stop=StopRequest())
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2
    assert not run.path.exists()


@pytest.mark.usefixtures("no_gpu", "no_bitsandbytes")
@pytest.mark.parametrize(
    ("train", "model", "message"),
    [
        ({"optim": "adamw_8bit"}, {}, r"train\.optim: adamw_8bit needs bitsandbytes"),
        ({}, {"quantization": {}}, r"model\.quantization needs bitsandbytes"),
    ],
)
def test_what_needs_bitsandbytes_is_refused_without_it(
    train: dict[str, Any], model: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path / "run", train=train, model=model)
    with pytest.raises(UserError, match=message) as caught:
        fine_tune(run, max_tokens=512, stop=StopRequest())
    assert "finesight[quantize]" in caught.value.hint
    assert not run.path.exists()


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("train", [{}, {"bf16": True}, {"optim": "muon"}, {"optim": "adamw_torch_fused"}])
def test_what_a_cpu_can_do_is_not_refused(train: dict[str, Any]) -> None:
    require_machine([stage_of(LORA, **train)])


def test_with_a_gpu_everything_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("finesight.train.machine.find_spec", lambda name: object())
    require_machine([stage_of(LORA, optim="paged_adamw_8bit", fp16=True)])
