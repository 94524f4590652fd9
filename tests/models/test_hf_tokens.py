"""`kind: hf`: the tokens, pixels and positions that each family's own processor and code give, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_making import rewrite_json
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoProcessor, LlavaConfig, Qwen2_5_VLConfig, Qwen2_5_VLModel
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from finesight.branches.contexts import share_contexts
from finesight.errors import DataError, ModelError
from finesight.models.blank_image import BlankImage
from finesight.models.encoded import Encoded
from finesight.models.hf.families import FAMILIES
from finesight.models.hf.formatter import HfFormatter
from finesight.models.hf.positions import grid_positions
from finesight.models.loaded import Loaded
from finesight.schema import Example, Turn
from hf_making import HIGH, QUESTIONS, SAMPLES, WIDE, Gradient, ask, load_hf_folder, make_hf_tokenizer, save_hf

CONVERSATION = replace(
    QUESTIONS[0],
    turns=(*QUESTIONS[0].turns, Turn("user", "are you sure?"), Turn("assistant", "yes", learned=True)),
)
SINGLE_QUESTIONS = ("paligemma",)
"""Families that answer one question, and hold no conversation."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the folder of a family's checkpoint, written once."""
    root = tmp_path_factory.mktemp("hf")

    def folder(model_type: str) -> Path:
        return root / model_type if (root / model_type).is_dir() else save_hf(root / model_type, model_type)

    return folder


@pytest.fixture(scope="module", params=SAMPLES)
def loaded(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Loaded:
    return load_hf_folder(folders(request.param))


def ids_of(single: Encoded) -> list[int]:
    return np.concatenate([single.prefix_ids, single.branches[0].ids]).tolist()


def formatter_of(loaded: Loaded) -> HfFormatter:
    assert isinstance(loaded.formatter, HfFormatter)
    return loaded.formatter


def rendered(loaded: Loaded, example: Example) -> str:
    """Return a conversation as the checkpoint's own template writes it, its images one token each."""
    messages = [
        {
            "role": turn.role,
            "content": [
                *({"type": "image"} for _ in example.images if place == 0),
                {"type": "text", "text": turn.text},
            ],
        }
        for place, turn in enumerate(example.turns)
    ]
    return str(loaded.formatter.tokenizer.apply_chat_template(messages, tokenize=False))


# Tokens.


@pytest.mark.parametrize("model_type", ["idefics3", "llava_next", "gemma3"])
@pytest.mark.parametrize("example", [*QUESTIONS, CONVERSATION], ids=lambda example: str(len(example.turns)))
def test_ids_equal_the_own_processor_of_the_family(
    model_type: str, example: Example, folders: Callable[[str], Path]
) -> None:
    loaded = load_hf_folder(folders(model_type))
    own = AutoProcessor.from_pretrained(folders(model_type))(
        images=[image.open() for image in example.images], text=rendered(loaded, example), add_special_tokens=False
    )["input_ids"][0]
    assert ids_of(loaded.formatter.encode(example, answered=True)) == own


@pytest.mark.parametrize("example", QUESTIONS, ids=lambda example: example.id)
def test_ids_and_types_equal_those_of_the_processor_of_paligemma(
    example: Example, folders: Callable[[str], Path]
) -> None:
    processor = AutoProcessor.from_pretrained(folders("paligemma"))
    question, answer = example.turns
    own = processor(images=example.images[0].open(), text=f"<image>{question.text}", suffix=answer.text)
    single = load_hf_folder(folders("paligemma")).formatter.encode(example, answered=True)
    assert ids_of(single) == own["input_ids"][0]
    assert single.row_inputs is not None
    assert single.row_inputs["token_type_ids"].tolist() == own["token_type_ids"][0]


def expanded_by_hand(loaded: Loaded, image: Gradient) -> tuple[str, str]:
    """Return a family's token, and what its processor writes for it, from what is documented of the family.

    These processors take videos too, and so need torchvision.
    """
    formatter = formatter_of(loaded)
    shown = formatter.processor.processor.image_processor(
        images=[image.open()], **({"return_row_col_info": True} if loaded.model.config.model_type == "smolvlm" else {})
    )
    match loaded.model.config.model_type:
        case "smolvlm":
            (rows,), (columns,) = shown["rows"][0], shown["cols"][0]
            return "<image>", get_image_prompt_string(
                rows, columns, 4, "<fake_token_around_image>", "<image>", "<global-img>"
            )
        case "internvl":
            patches = int(shown["num_patches"][0])
            return "<IMG_CONTEXT>", f"<img>{'<IMG_CONTEXT>' * 4 * patches}</img>"
        case _:
            return "<|image_pad|>", "<|image_pad|>" * (int(np.prod(shown["image_grid_thw"][0])) // 4)


@pytest.mark.parametrize("model_type", ["smolvlm", "qwen2_vl", "qwen2_5_vl", "internvl"])
@pytest.mark.parametrize("example", [*QUESTIONS, CONVERSATION], ids=lambda example: str(len(example.turns)))
def test_ids_equal_what_the_family_documents(model_type: str, example: Example, folders: Callable[[str], Path]) -> None:
    loaded = load_hf_folder(folders(model_type))
    token, expansion = expanded_by_hand(loaded, example.images[0])  # type: ignore[arg-type]
    assert len(expansion) > len(token)
    text = rendered(loaded, example).replace(token, expansion)
    own = loaded.formatter.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids_of(loaded.formatter.encode(example, answered=True)) == own


def test_several_images_are_expanded_each_by_its_size(folders: Callable[[str], Path]) -> None:
    loaded = load_hf_folder(folders("idefics3"))
    both = ask("both", "which is red?", "the first", WIDE, HIGH)
    own = AutoProcessor.from_pretrained(folders("idefics3"))(
        images=[[WIDE.open(), HIGH.open()]], text=rendered(loaded, both), add_special_tokens=False, return_tensors="pt"
    )
    assert ids_of(loaded.formatter.encode(both, answered=True)) == own["input_ids"][0].tolist()
    pixels = loaded.formatter.pixels(both.images)
    assert pixels is not None
    assert torch.equal(pixels["pixel_values"], own["pixel_values"])


def test_the_prompt_is_the_same_in_training_and_when_asking(loaded: Loaded) -> None:
    for example in QUESTIONS:
        taught, asked = (loaded.formatter.encode(example, answered=answered) for answered in (True, False))
        assert taught.prefix_ids is asked.prefix_ids
        ids = asked.branches[0].ids
        assert taught.branches[0].ids[: len(ids)].tolist() == ids.tolist()
        learned = taught.branches[0].labels[taught.branches[0].labels >= 0]
        assert loaded.formatter.decode(learned) == example.answer


def test_every_image_has_as_many_tokens_as_the_model_makes_features(loaded: Loaded) -> None:
    for image in (WIDE, HIGH, Gradient(33, 31), Gradient(200, 20)):
        pixels = loaded.formatter.pixels([image])
        assert pixels is not None
        with torch.no_grad():
            features = loaded.model.get_image_features(**pixels).pooler_output
        assert sum(len(of_image) for of_image in features) == loaded.formatter.image_tokens(image)


def test_blank_images_are_all_alike_and_none_is_dropped(loaded: Loaded) -> None:
    blanks = [
        loaded.formatter.encode(replace(example, images=(BlankImage(),)), answered=False)  # type: ignore[arg-type]
        for example in QUESTIONS
    ]
    shared = loaded.traits.takes_custom_mask
    assert [len(context.branches) for context in share_contexts(blanks)] == ([4] if shared else [1, 1, 1, 1])
    pixels = loaded.formatter.pixels(blanks[0].images, blank=True)
    assert pixels is not None
    with torch.no_grad():
        features = loaded.model.get_image_features(**pixels).pooler_output
    assert sum(len(of_image) for of_image in features) == loaded.formatter.image_tokens(blanks[0].images[0])


def test_settings_of_the_image_processor_are_the_recipes(folders: Callable[[str], Path]) -> None:
    split, whole = (
        load_hf_folder(folders("smolvlm"), image_processor=settings).formatter
        for settings in ({}, {"do_image_splitting": False})
    )
    assert (split.image_tokens(WIDE), whole.image_tokens(WIDE)) == (20, 4)


def test_a_formatter_reaches_a_worker_process_whole(loaded: Loaded) -> None:
    revived = pickle.loads(pickle.dumps(loaded.formatter))
    ours, theirs = loaded.formatter.pixels([WIDE, HIGH]), revived.pixels([WIDE, HIGH])
    assert ours is not None
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    encoded = revived.encode(QUESTIONS[0], answered=True)
    assert ids_of(encoded) == ids_of(loaded.formatter.encode(QUESTIONS[0], answered=True))


# Positions.


@given(
    grids=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    texts=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_grid_positions_are_those_of_the_model(grids: list[tuple[int, int]], texts: list[int]) -> None:
    # Between two images there is always text: the token that opens the next.
    lengths = [texts[0], *(max(1, text) for text in texts[1:])]
    ids = [1] * lengths[0]
    for (height, width), text in zip(grids, lengths[1:], strict=False):
        ids += [9] * (height * width) + [1] * text
    patches = [(1, 2 * height, 2 * width) for height, width in grids]
    ours = grid_positions(np.array(ids, dtype=np.int32), 9, patches, merged=2)
    row = torch.tensor([ids])
    config = Qwen2_5_VLConfig(vision_config={"spatial_merge_size": 2})
    with torch.device("meta"):
        model = Qwen2_5_VLModel.__new__(Qwen2_5_VLModel)
    torch.nn.Module.__init__(model)
    model.config = config
    theirs, _ = model.get_rope_index(row, (row == 9).int(), image_grid_thw=torch.tensor(patches))
    assert torch.equal(torch.from_numpy(ours), theirs[:, 0])


def test_grids_of_equally_many_features_are_told_apart(folders: Callable[[str], Path]) -> None:
    formatter = load_hf_folder(folders("qwen2_5_vl")).formatter
    wide, high = (
        formatter.encode(ask("1", "what?", "red", image), answered=False)
        for image in (Gradient(64, 32), Gradient(32, 64))
    )
    assert wide.prefix_ids.tolist() == high.prefix_ids.tolist()
    assert wide.prefix_positions is not None
    assert high.prefix_positions is not None
    assert not np.array_equal(wide.prefix_positions, high.prefix_positions)


# What is refused.


def test_every_family_is_proven_here() -> None:
    assert SAMPLES.keys() == FAMILIES.keys()


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        (LlavaConfig(), "type 'llava', which model.kind: hf does not know", "model.kind: llava loads it"),
        ({"model_type": "llama"}, "type 'llama'", "model.kind: text loads"),
        ({"model_type": "blip"}, "type 'blip'", "needs a line in finesight/models/hf/families.py"),
        ({"model_type": "bert"}, "type 'bert'", "known are gemma3, idefics3"),
    ],
)
def test_other_models_are_refused_with_what_loads_them(config: Any, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    if isinstance(config, dict):
        (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    else:
        config.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match=message) as caught:
        load_hf_folder(tmp_path / "model")
    assert hint in caught.value.hint


def damaged(tmp_path: Path, model_type: str) -> Path:
    return save_hf(tmp_path / model_type, model_type)


def test_a_tokenizer_without_the_image_token_is_refused(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "qwen2_5_vl")
    rewrite_json(folder / "config.json", lambda config: config.update(image_token_id=5000))
    with pytest.raises(ModelError, match="the tokenizer has no token 5000") as caught:
        load_hf_folder(folder)
    assert "belongs to the checkpoint" in caught.value.hint


def test_an_expansion_without_the_models_token_is_refused(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "qwen2_5_vl")
    rewrite_json(folder / "config.json", lambda config: config.update(image_token_id=config["video_token_id"]))
    with pytest.raises(ModelError, match=r"in which the model's image token '<\|video_pad\|>' is not"):
        load_hf_folder(folder)


def test_a_template_that_drops_the_image_is_refused(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "smolvlm")
    template = "{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endfor %}"
    with pytest.raises(ModelError, match="drops the image"):
        load_hf_folder(folder, chat_template=template)


def test_a_processor_that_expands_nothing_is_refused(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PaliGemmaProcessor

    monkeypatch.setattr(PaliGemmaProcessor, "replace_image_token", lambda *arguments, **settings: "<image>")
    with pytest.raises(ModelError, match="PaliGemmaProcessor leaves <image> as it is"):
        load_hf_folder(folders("paligemma"))


def test_a_misspelt_setting_of_the_image_processor_is_refused(folders: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="SmolVLMImageProcessorPil has no do_image_spliting") as caught:
        load_hf_folder(folders("smolvlm"), image_processor={"do_image_spliting": False})
    assert "did you mean do_image_splitting?" in caught.value.hint


def test_a_checkpoint_without_image_processor_is_refused(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "llava_next")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no LlavaNextProcessor can be made") as caught:
        load_hf_folder(folder)
    assert "preprocessor_config.json" in caught.value.hint


def test_several_images_are_refused_where_the_family_shows_them_otherwise(folders: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="2 images, but this family shows each of several otherwise"):
        load_hf_folder(folders("llava_onevision")).formatter.encode(ask("2", "a?", "b", WIDE, HIGH), answered=True)


def test_an_image_token_in_the_text_is_refused(loaded: Loaded) -> None:
    formatter = formatter_of(loaded)
    written = ask("1", f"what is {formatter.processor.image_token}?", "red", WIDE)
    with pytest.raises(DataError, match="2 image tokens in the text for 1 images"):
        formatter.encode(written, answered=True)


def test_paligemma_answers_one_question(folders: Callable[[str], Path]) -> None:
    formatter = load_hf_folder(folders("paligemma")).formatter
    with pytest.raises(ModelError, match="PaliGemma answers one question, and no second one"):
        formatter.encode(CONVERSATION, answered=True)


def test_a_bos_that_template_and_tokenizer_both_put_is_not_doubled(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "gemma3")
    make_hf_tokenizer(SAMPLES["gemma3"], adds_bos=True).save_pretrained(folder)
    formatter = load_hf_folder(folder).formatter
    assert ids_of(formatter.encode(QUESTIONS[0], answered=True)).count(formatter.tokenizer.bos_token_id) == 1
