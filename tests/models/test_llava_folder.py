"""A LLaVA folder loads as it was saved, whatever files it has; a damaged or strange one is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import CLIP_PROCESSOR, load_folder, logits_of, rewrite_json, rewrite_tensors, save_folder
from safetensors.torch import load_file
from transformers import LlavaProcessor

from finesight.errors import ModelError
from finesight.models.load import describe_model, load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import LlavaModel
from finesight.schema import Example


@pytest.fixture(scope="module")
def original(make_model: Callable[..., Loaded]) -> Loaded:
    return make_model()


@pytest.fixture(scope="module")
def saved(original: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(original, tmp_path_factory.mktemp("saved") / "llava")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "llava"))


def test_a_saved_folder_gives_the_same_logits(original: Loaded, folder: Path, examples: tuple[Example, ...]) -> None:
    loaded = load_folder(folder)
    for example in (examples[0], examples[5]):
        assert torch.equal(logits_of(loaded, example), logits_of(original, example))
    assert loaded.formatter.end_ids == original.formatter.end_ids
    assert loaded.random_parts == frozenset(), "its weights are in the folder"


def test_gemma_with_tied_embeddings_gives_the_same_logits(
    make_model: Callable[..., Loaded], tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    original = make_model("siglip_vision_model", "gemma")
    folder = save_folder(original, tmp_path / "llava")
    assert not any(name.endswith("lm_head.weight") for name in load_file(folder / "model.safetensors"))
    loaded = load_folder(folder)
    assert loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight
    assert torch.equal(logits_of(loaded, examples[0]), logits_of(original, examples[0]))


def test_weights_in_bin_files_load(original: Loaded, folder: Path, examples: tuple[Example, ...]) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert torch.equal(logits_of(load_folder(folder), examples[0]), logits_of(original, examples[0]))


def test_one_dtype_whatever_the_folder_was_saved_in(folder: Path) -> None:
    rewrite_tensors(folder, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    assert {p.dtype for p in load_folder(folder).model.parameters()} == {torch.float32}
    assert {p.dtype for p in load_folder(folder, dtype="bfloat16").model.parameters()} == {torch.bfloat16}


# The files beside the weights.


def test_a_processor_without_patch_size_and_clips_own_image_processor_are_enough(
    folder: Path, examples: tuple[Example, ...]
) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(CLIP_PROCESSOR))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"}))
    loaded = load_folder(folder)
    assert loaded.formatter.geometry.features == 16
    assert loaded.formatter.pixels(examples[0].images)["pixel_values"].shape == (1, 3, 32, 32)
    assert torch.isfinite(logits_of(loaded, examples[0])).all()


def test_an_image_processor_inside_the_processors_own_file_is_found(
    original: Loaded, folder: Path, examples: tuple[Example, ...]
) -> None:
    for file in folder.glob("*processor_config.json"):
        file.unlink()
    LlavaProcessor(original.formatter.image_processor, original.formatter.tokenizer).save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()
    assert torch.equal(logits_of(load_folder(folder), examples[0]), logits_of(original, examples[0]))


def test_an_image_processor_of_another_size_is_set_to_the_encoders_own(
    folder: Path, examples: tuple[Example, ...]
) -> None:
    larger = {**CLIP_PROCESSOR, "size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}}
    (folder / "preprocessor_config.json").write_text(json.dumps(larger))
    assert load_folder(folder).formatter.pixels(examples[0].images)["pixel_values"].shape == (1, 3, 32, 32)


def test_a_template_in_a_file_of_its_own_is_found(
    original: Loaded, folder: Path, examples: tuple[Example, ...]
) -> None:
    template = original.formatter.tokenizer.chat_template
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_folder(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    loaded = load_folder(folder)
    assert loaded.formatter.chat.render(examples[0].turns, 1, ask=False) == original.formatter.chat.render(
        examples[0].turns, 1, ask=False
    )


def test_the_recipes_template_goes_before_the_folders(folder: Path, examples: tuple[Example, ...]) -> None:
    loaded = load_folder(folder, chat_template="plain", system_prompt="Be brief.")
    text = loaded.formatter.chat.render(examples[0].turns, 1, ask=False)
    assert text == "<image>\nwhat colour is it?\ndark red</s>"


# Damaged weights.


def test_missing_tensors_are_listed(folder: Path) -> None:
    rewrite_tensors(folder, lambda tensors: tensors.pop("multi_modal_projector.linear_1.weight"))
    with pytest.raises(ModelError, match=r"missing: 1 \(model\.multi_modal_projector\.linear_1\.weight\)") as caught:
        load_folder(folder)
    assert str(folder) in caught.value.message
    assert "random" in caught.value.hint


def test_tensors_left_over_are_listed(folder: Path) -> None:
    rewrite_tensors(folder, lambda tensors: tensors.update({"language_model.ghost.weight": torch.zeros(2)}))
    with pytest.raises(ModelError, match=r"left over: 1 \(.*ghost\.weight\)"):
        load_folder(folder)


def test_misshapen_tensors_are_listed(folder: Path) -> None:
    name = "multi_modal_projector.linear_1.bias"
    rewrite_tensors(folder, lambda tensors: tensors.update({name: torch.zeros(3)}))
    with pytest.raises(ModelError, match=r"misshapen: 1 \(model\.multi_modal_projector\.linear_1\.bias"):
        load_folder(folder)


def test_a_torn_weights_file_is_named(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        load_folder(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="the folder has no weights") as caught:
        load_folder(folder)
    assert "Git LFS" in caught.value.hint


def test_parameters_are_described_without_weights(original: Loaded, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    model, parts = describe_model(LlavaModel(kind="llava", name_or_path="llava"), data_root=folder.parent)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in original.model.named_parameters()]
    assert all(parts.part_of(name) for name, _ in model.named_parameters())


# Folders of another kind.


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such checkpoint folder") as caught:
        load_model(LlavaModel(kind="llava", name_or_path=name), data_root=tmp_path)
    assert "data root" in caught.value.hint


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="a file, not a checkpoint folder"):
        load_folder(tmp_path / "model.safetensors")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no model can be found there"):
        load_folder(tmp_path / "empty")


def test_another_kind_of_model_is_refused(original: Loaded, tmp_path: Path) -> None:
    original.model.config.text_config.save_pretrained(tmp_path / "llama")
    with pytest.raises(ModelError, match=r"type 'llama', not LLaVA") as caught:
        load_folder(tmp_path / "llama")
    assert "kind: assembled" in caught.value.hint


def test_parts_of_a_kind_that_nothing_has_proven_are_refused(folder: Path) -> None:
    rewrite_json(folder / "config.json", lambda config: config["text_config"].update(model_type="mistral"))
    with pytest.raises(ModelError, match=r"language part of type 'mistral' is not supported") as caught:
        load_folder(folder)
    assert "llama, gemma" in caught.value.hint


def test_siglip_that_would_lose_a_patch_is_refused(make_model: Callable[..., Loaded], tmp_path: Path) -> None:
    folder = save_folder(make_model("siglip_vision_model"), tmp_path / "llava")
    rewrite_json(folder / "config.json", lambda config: config.update(vision_feature_select_strategy="default"))
    with pytest.raises(ModelError, match="every image would lose a patch") as caught:
        load_folder(folder)
    assert "full" in caught.value.hint


# Tokenizers that do not belong to the weights.


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(original: Loaded, folder: Path) -> None:
    vocabulary = original.model.config.text_config.vocab_size
    rewrite_json(
        folder / "tokenizer.json",
        lambda content: content["added_tokens"].extend(
            {**content["added_tokens"][-1], "id": number, "content": f"<{number}>"}
            for number in range(len(original.formatter.tokenizer), vocabulary + 1)
        ),
    )
    with pytest.raises(ModelError, match=rf"{vocabulary + 1} tokens, the language model only {vocabulary}"):
        load_folder(folder)


@pytest.mark.parametrize("image_token", [5, 399])
def test_an_image_token_that_is_not_the_configurations_is_refused(folder: Path, image_token: int) -> None:
    rewrite_json(folder / "config.json", lambda config: config.update(image_token_index=image_token))
    with pytest.raises(ModelError, match=rf"image token is {image_token}: images would never reach"):
        load_folder(folder)


def test_a_tokenizer_that_knows_no_image_token_is_refused(folder: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        for token in content["added_tokens"]:
            if token["content"] == "<image>":
                token["content"] = "<picture>"

    rewrite_json(folder / "tokenizer.json", forget)
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / file).exists():
            rewrite_json(folder / file, lambda config: config.pop("extra_special_tokens", None))
    with pytest.raises(ModelError, match="images would never reach"):
        load_folder(folder)


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="no tokenizer can be loaded"):
        load_folder(folder)


def test_a_folder_without_image_processor_is_refused(folder: Path) -> None:
    for file in folder.glob("*processor_config.json"):
        file.unlink()
    with pytest.raises(ModelError, match="no image processor") as caught:
        load_folder(folder)
    assert "preprocessor_config.json" in caught.value.hint
