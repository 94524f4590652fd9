"""A model under a kind that does not load it: which kind does is said, by folder and by name."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
from pydantic import TypeAdapter
from transformers import LlamaConfig, LlavaConfig, PreTrainedConfig, Qwen2_5_VLConfig

from finesight.errors import ModelError
from finesight.models.hf.families import FAMILIES
from finesight.models.load import describe_model, load_formatter
from finesight.models.published import describe_stand_ins
from finesight.recipe.model import HfModel, Model, MoondreamModel
from moondream_making import write_moondream

KINDS = ("llava", "hf", "text", "moondream")
CONFIGS: dict[str, type[PreTrainedConfig]] = {"llava": LlavaConfig, "hf": Qwen2_5_VLConfig, "text": LlamaConfig}


@pytest.fixture(autouse=True)
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def spec_of(kind: str, name: str) -> Model:
    return TypeAdapter[Model](Model).validate_python({"kind": kind, "name_or_path": name})


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize("right", KINDS)
def test_a_folder_under_the_wrong_kind_is_told_the_right_one(asked: str, right: str, tmp_path: Path) -> None:
    if asked == right:
        return
    if right == "moondream":
        write_moondream(tmp_path / "model", "2024")
    else:
        CONFIGS[right]().save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError) as caught:
        describe_model(spec_of(asked, "model"), data_root=tmp_path)
    assert f"model.kind: {right} loads it" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        load_formatter(spec_of(asked, "model"), data_root=tmp_path)
    assert f"model.kind: {right} loads it" in caught.value.hint


@pytest.mark.parametrize("asked", ["llava", "hf", "text", "moondream"])
@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("vikhyatk/moondream2", "moondream"),
        ("deepvk/llava-gemma-2b-lora", "llava"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "text"),
    ],
)
def test_a_blueprint_under_the_wrong_kind_is_told_the_right_one(
    asked: str, name: str, right: str, tmp_path: Path
) -> None:
    if asked == right:
        return
    with pytest.raises(ModelError) as caught:
        describe_model(spec_of(asked, name), data_root=tmp_path, may_stand_in=True)
    assert f"model.kind: {right} loads it" in caught.value.hint


def test_a_moondream_is_no_language_part_of_an_assembled_model(tmp_path: Path) -> None:
    spec = TypeAdapter[Model](Model).validate_python(
        {
            "kind": "assembled",
            "vision": {"name_or_path": "openai/clip-vit-large-patch14-336"},
            "language": {"name_or_path": "vikhyatk/moondream2"},
        }
    )
    with pytest.raises(ModelError, match="vikhyatk/moondream2: a moondream2") as caught:
        describe_model(spec, data_root=tmp_path, may_stand_in=True)
    assert caught.value.hint == "model.kind: moondream loads it"


def test_no_blueprint_stands_in_for_a_family_of_kind_hf(tmp_path: Path) -> None:
    assert list(describe_stand_ins(spec_of("hf", "vikhyatk/moondream2"), tmp_path)) == []


def test_the_families_of_kind_hf_are_as_many_as_the_recipe_says() -> None:
    assert "nine further families" in str(HfModel.__doc__)
    assert len(FAMILIES) == 9


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("llava", "deepvk/llava-gemma-2b-lore", "deepvk/llava-gemma-2b-lora"),
        ("moondream", "vikhyat/moondream2", "vikhyatk/moondream2"),
        ("text", "TinyLlama/TinyLlama-1.1B-Chat-v1", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
    ],
)
def test_a_slip_in_a_known_name_is_seen(kind: str, name: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"no folder {tmp_path / name}") as caught:
        describe_model(spec_of(kind, name), data_root=tmp_path, may_stand_in=True)
    assert caught.value.hint == f"did you mean {meant}?"


def test_a_day_without_a_revision_is_told_those_that_are_known(tmp_path: Path) -> None:
    spec = MoondreamModel(kind="moondream", name_or_path="vikhyatk/moondream2", revision="2024-12-31")
    with pytest.raises(ModelError) as caught:
        describe_model(spec, data_root=tmp_path, may_stand_in=True)
    assert "blueprints stand for the revisions 2024-05-20, " in caught.value.hint
    assert "2025-06-21" in caught.value.hint


def test_a_name_like_no_other_is_not_corrected(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        describe_model(spec_of("llava", "someone/their-own"), data_root=tmp_path, may_stand_in=True)
    assert "did you mean" not in caught.value.hint
