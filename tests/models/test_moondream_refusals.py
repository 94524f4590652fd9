"""moondream2 checkpoints that cannot be used are refused with what is wrong with them, and whose prompt they take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from finesight.errors import ModelError, UserError
from finesight.keeping import require_keepable
from finesight.models.load import load_formatter, load_model
from finesight.models.loaded import Loaded
from finesight.models.moondream.config import moondream_config, published_settings
from finesight.recipe.model import MoondreamModel
from finesight.recipe.recipe import Recipe
from finesight.schema import Example, Turn
from moondream_making import Tensors, change_config, learn_tokenizer, random_tensors, write_moondream

STARMIE_CODE = 'self.tokenizer = Tokenizer.from_pretrained("moondream/starmie-v1")\n'
EXAMPLE = Example("1", "1", (), (Turn("user", "is it red?"), Turn("assistant", "no", learned=True)), ("no",))


def spec(folder: Path, **settings: Any) -> MoondreamModel:
    return MoondreamModel.model_validate({"kind": "moondream", "name_or_path": folder.name, **settings})


def load(folder: Path, **settings: Any) -> Loaded:
    return load_model(spec(folder, **settings), data_root=folder.parent)


def text_of(folder: Path, **settings: Any) -> str:
    formatter = load_formatter(spec(folder, **settings), data_root=folder.parent)
    single = formatter.encode(EXAMPLE, answered=True)
    return str(formatter.tokenizer.decode([*single.prefix_ids, *single.branches[0].ids]))


def rename(tensors: Tensors, old: str, new: str) -> None:
    tensors[new] = tensors.pop(old)


WQKV, POSITIONS = "text_model.transformer.h.1.mixer.Wqkv.weight", "vision_encoder.encoder.model.visual.pos_embed"
FAULTS: dict[str, tuple[str, Callable[[Tensors], Any], tuple[str, ...]]] = {
    "missing": ("2024", lambda tensors: tensors.pop(WQKV), (f"missing: 1 ({WQKV})",)),
    "misshapen": (
        "2024",
        lambda tensors: tensors.update({POSITIONS: torch.zeros(1, 4, 32)}),
        (f"misshapen: 1 ({POSITIONS})",),
    ),
    "left over": (
        "2025",
        lambda tensors: tensors.update({"model.text.extra": torch.zeros(1)}),
        ("left over: 1 (model",),
    ),
    "a mix of both years": (
        "2024",
        lambda tensors: rename(tensors, WQKV, "text.blocks.1.attn.qkv.weight"),
        (f"missing: 1 ({WQKV})", "left over: 1 (text.blocks.1.attn.qkv.weight)"),
    ),
    "some without the prefix": (
        "2025",
        lambda tensors: rename(tensors, "model.text.wte", "text.wte"),
        ("missing: 1 (model.text.wte)", "left over: 1 (text.wte)"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tensors_that_do_not_fit_are_listed(fault: str, tmp_path: Path) -> None:
    year, change, listed = FAULTS[fault]
    folder = write_moondream(tmp_path / "moondream", year)
    tensors = random_tensors(year)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load(folder)
    for words in listed:
        assert words in caught.value.message


def test_tensors_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2024")
    save_file({"model.layers.0.q_proj.weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="not named as those of any moondream2"):
        load(folder)


def test_a_folder_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2024")
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match="no tokenizer can be found there"):
        load(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"there is no model\.safetensors") as caught:
        load(folder)
    assert "finesight convert" in caught.value.hint
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="no model can be found there"):
        load(folder)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2025")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load(folder)


def test_weights_in_shards_are_read(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2024")
    whole = load(folder)
    tensors = random_tensors("2024")
    (folder / "model.safetensors").unlink()
    where = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(where.values()):
        save_file({name: tensors[name] for name in tensors if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), encoding="utf-8")
    again = load(folder)
    for one, same in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, same)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"there is no model-1\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"model_type": "llava"}, "a model of type 'llava', not moondream2"),
        ({"model_type": "moondream1", "config": {"text": {"group_size": 128}}}, "packed into 4 bits"),
        ({"model_type": "moondream1", "text_config": {"hidden_size": "wide"}}, "does not describe a moondream2"),
    ],
)
def test_configurations_that_are_not_moondream2s_are_refused(published: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        moondream_config(published, "there")


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_a_configuration_is_written_as_it_is_read(year: str, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year)
    config = moondream_config(json.loads((folder / "config.json").read_text(encoding="utf-8")), "there")
    assert moondream_config(published_settings(config), "there").to_dict() == config.to_dict()


def test_it_cannot_be_quantised(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be quantised"):
        load(write_moondream(tmp_path / "moondream", "2024"), quantization={})


def test_a_system_prompt_has_no_place(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="questions and answers alone"):
        load(write_moondream(tmp_path / "moondream", "2024"), system_prompt="Be brief.")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2024")
    text = json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_config"]
    change_config(folder, text_config={**text, "vocab_size": 300})
    with pytest.raises(ModelError, match="the language model only 300"):
        load_formatter(spec(folder), data_root=tmp_path)


def test_the_prompt_is_that_of_the_tokenizer(tmp_path: Path) -> None:
    old = write_moondream(tmp_path / "old", "2025")
    new = write_moondream(tmp_path / "new", "2025", starmie=True)
    asked = "<|md_reserved_0|>query<|md_reserved_1|>is it red?<|md_reserved_2|>no<|endoftext|>"
    assert text_of(old) == "<|endoftext|>\n\nQuestion: is it red?\n\nAnswer: no<|endoftext|>"
    assert text_of(new) == f"<|endoftext|>{asked}"
    # A revision that names starmie in its code, and brings it, needs nothing else.
    (new / "moondream.py").write_text(STARMIE_CODE, encoding="utf-8")
    assert text_of(new) == f"<|endoftext|>{asked}"
    # One that still brings the old files is not spoken to with them.
    (old / "moondream.py").write_text(STARMIE_CODE, encoding="utf-8")
    with pytest.raises(ModelError, match="moondream/starmie-v1"):
        text_of(old)
    (old / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="moondream/starmie-v1"):
        text_of(old)
    assert text_of(old, tokenizer="new") == f"<|endoftext|>{asked}"


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2025")
    other = json.loads(learn_tokenizer().to_str())
    other["added_tokens"][0]["content"] = "</s>"
    other["model"]["vocab"]["</s>"] = other["model"]["vocab"].pop("<|endoftext|>")
    (folder / "tokenizer.json").write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(ModelError, match=r"a tokenizer without <\|endoftext\|>"):
        load(folder)


def test_images_seen_in_crops_cannot_be_kept() -> None:
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "model": {"kind": "moondream", "name_or_path": "moondream", "crops": "several"},
            "data": {"train": [{"kind": "scenes", "scenes": 4}]},
            "tune": {"language": "full"},
            "train": {},
            "evaluate": [{"name": "held_out", "from": "test"}],
        }
    )
    with pytest.raises(UserError, match="images seen in crops cannot be kept"):
        require_keepable("pixels", recipe)
    require_keepable("none", recipe)
