"""What was trained is saved and read back; files that do not fit are refused, not read by half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from finesight.errors import ModelError
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.recipe.recipe import Stage
from finesight.tune.peft_quiet import without_renaming_warning
from finesight.tune.prepare import prepare_model
from finesight.tune.weights import load_parts, load_trained, save_parts, save_trained

LORA = {"method": "lora", "r": 2}


def prepare(loaded: Loaded, **tune: Any) -> Loaded:
    stage = Stage.model_validate({"tune": tune})
    prepare_model(loaded, stage.tune, stage.train)
    return loaded


def disturb(loaded: Loaded) -> Loaded:
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    return loaded


def weights_of(loaded: Loaded) -> dict[str, torch.Tensor]:
    return {parameter.name: parameter.parameter.detach().clone() for parameter in bare_parameters(loaded.model)}


def assert_equal(left: Loaded, right: Loaded) -> None:
    ours, theirs = weights_of(left), weights_of(right)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_adapters_and_full_parts_are_files_of_their_own(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = disturb(prepare(make_model(), vision=LORA, projector="full", language={**LORA, "r": 3}))
    save_trained(loaded, tmp_path)
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.safetensors")) == [
        "adapters/language/adapter_model.safetensors",
        "adapters/vision/adapter_model.safetensors",
        "parts/projector.safetensors",
    ]
    again = make_model()
    load_trained(again, tmp_path)
    assert_equal(again, loaded)


def test_an_adapter_is_a_file_that_peft_reads(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = disturb(prepare(make_model(), language=LORA))
    save_trained(loaded, tmp_path)
    folder = tmp_path / "adapters" / "language"
    with without_renaming_warning():
        by_peft = PeftModel.from_pretrained(make_model().model, folder, adapter_name="language")
    own = weights_of(loaded)
    for parameter in bare_parameters(by_peft):
        assert torch.equal(own[parameter.name], parameter.parameter), parameter.name


def test_reading_back_into_the_model_that_was_trained_on_goes_back(
    make_model: Callable[..., Loaded], tmp_path: Path
) -> None:
    loaded = disturb(prepare(make_model(), projector="full", language=LORA))
    save_trained(loaded, tmp_path)
    before = weights_of(loaded)
    disturb(loaded)
    load_trained(loaded, tmp_path)
    after = weights_of(loaded)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert {p.name for p in bare_parameters(loaded.model) if p.parameter.requires_grad} == {
        name for name in before if ".lora_" in name or "projector" in name
    }, "and the same parameters learn"


def test_what_a_stage_learned_is_kept_through_the_next(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = disturb(prepare(make_model(), language=LORA))
    prepare(loaded, projector="full")
    save_trained(loaded, tmp_path)
    assert sorted(file.name for file in (tmp_path / "parts").iterdir()) == [
        "language.safetensors",
        "projector.safetensors",
    ]
    again = make_model()
    load_trained(again, tmp_path)
    assert_equal(again, loaded)


def test_parts_of_another_model_are_refused(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    save_parts(make_model(), tmp_path, {"language"})
    with pytest.raises(ModelError, match=r"language\.safetensors: .* do not fit this model's language part") as caught:
        load_parts(make_model(language="gemma"), tmp_path)
    assert "another model" in caught.value.hint


@pytest.mark.parametrize("change", ["shape", "name", "missing"])
def test_a_file_that_fits_but_for_one_tensor_changes_nothing(
    change: str, make_model: Callable[..., Loaded], tmp_path: Path
) -> None:
    save_parts(disturb(make_model(seed=2)), tmp_path, {"projector"})
    file = tmp_path / "parts" / "projector.safetensors"
    tensors = load_file(file)
    first = min(tensors)
    tensor = tensors.pop(first)
    if change != "missing":
        tensors[first if change == "shape" else "other"] = tensor[..., :-1] if change == "shape" else tensor
    save_file(tensors, file)
    loaded = make_model()
    before = weights_of(loaded)
    with pytest.raises(ModelError, match="do not fit"):
        load_parts(loaded, tmp_path)
    after = weights_of(loaded)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_adapters_of_another_rank_are_refused(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    save_trained(prepare(make_model(), language=LORA), tmp_path)
    with pytest.raises(ModelError, match="the adapter does not fit the language part"):
        load_trained(prepare(make_model(), language={**LORA, "r": 3}), tmp_path)
