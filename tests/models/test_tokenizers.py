"""Tokenizers: learned from the training text, or loaded, with the tokens that a LLaVA needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from template_making import TEXTS, bare_llama_tokenizer

from finesight.errors import ModelError
from finesight.models.tokenizers import ensure_special_tokens, learn_tokenizer, load_tokenizer

LEARNED = learn_tokenizer(TEXTS * 20, 320)


@given(st.text())
def test_a_learned_tokenizer_writes_any_text(text: str) -> None:
    special = {"<pad>", "<s>", "</s>", "<image>"}
    if not any(token in text for token in special):
        assert LEARNED.decode(LEARNED(text, add_special_tokens=False)["input_ids"]) == text.encode(
            errors="replace"
        ).decode(errors="replace")


@pytest.mark.parametrize("size", [300, 310, 1000])
def test_a_learned_tokenizer_has_at_most_the_size_asked_for(size: int) -> None:
    tokenizer = learn_tokenizer(TEXTS, size)
    assert 260 <= len(tokenizer) <= size
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_the_same_text_gives_the_same_tokenizer() -> None:
    assert learn_tokenizer(TEXTS, 320).get_vocab() == learn_tokenizer(TEXTS, 320).get_vocab()


def test_a_learned_tokenizer_is_saved_and_loaded(tmp_path: Path) -> None:
    LEARNED.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path), None)
    assert again("what colour? <image> красный")["input_ids"] == LEARNED("what colour? <image> красный")["input_ids"]
    assert (again.bos_token, again.eos_token, again.pad_token) == ("<s>", "</s>", "<pad>")


def test_missing_tokens_are_added_once() -> None:
    tokenizer = bare_llama_tokenizer()
    size = len(tokenizer)
    assert ensure_special_tokens(tokenizer) == ensure_special_tokens(tokenizer) == size
    assert len(tokenizer) == size + 1
    assert tokenizer.pad_token == tokenizer.eos_token
    assert tokenizer("<image>", add_special_tokens=False)["input_ids"] == [size]


def test_tokens_that_are_there_stay() -> None:
    size, image, pad = len(LEARNED), LEARNED.convert_tokens_to_ids("<image>"), LEARNED.pad_token
    assert ensure_special_tokens(LEARNED) == image
    assert (len(LEARNED), LEARNED.pad_token) == (size, pad)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokenizer can be loaded") as caught:
        load_tokenizer(str(tmp_path), None)
    assert str(tmp_path) in caught.value.message
    assert "tokenizer.json" in caught.value.hint


def test_a_torn_tokenizer_file_is_named(tmp_path: Path) -> None:
    LEARNED.save_pretrained(tmp_path)
    content = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(content[: len(content) // 2], encoding="utf-8")
    with pytest.raises(ModelError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path), None)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "phi", "qwen2"])
def test_a_learned_tokenizer_is_the_same_beside_any_language_model(model_type: str, tmp_path: Path) -> None:
    learned = learn_tokenizer(["what colour is it? dark red, 12 things"] * 20, 340)
    learned.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    again = load_tokenizer(str(tmp_path), None)
    assert again.get_vocab() == learned.get_vocab()
    text = "is it 12 dark reds?  <image>\n"
    assert again(text)["input_ids"] == learned(text)["input_ids"]
    assert (again.bos_token, again.eos_token, again.pad_token) == (learned.bos_token, learned.eos_token, "<pad>")
