"""Text models: where a text context ends, what is refused, and checkpoints as people have them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from part_making import save_language
from template_making import (
    FEATURES,
    TEMPLATES,
    VICUNA,
    ask,
    bare_llama_tokenizer,
    make_formatter,
    make_llama_tokenizer,
    make_tokenizer,
)

from finesight.branches.contexts import share_contexts
from finesight.errors import DataError, ModelError
from finesight.models.chat import ChatFormat
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.models.llava import read_llava_config
from finesight.models.load import describe_model, load_model
from finesight.models.loaded import Loaded
from finesight.models.location import locate
from finesight.opening import training_texts
from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Stage
from finesight.schema import Example
from finesight.tune.prepare import describe_parameters, prepare_model

SVG = '  <svg width="9">\n<path fill="red" d="M 1 2 L 3 4"/>\n</svg>\n\n'
PAIR = ("what colour is it?", "dark red")
IMAGE = object()
VISIBLE = st.text(min_size=1).filter(lambda text: bool(text[0].strip()) and "<" not in text)


def text_formatter(name: str) -> Formatter:
    template, special = TEMPLATES[name]
    tokenizer = make_tokenizer(*special, template=template)
    return Formatter(tokenizer, ChatFormat(tokenizer, None, None), system_prompt=None)


def blank_joining_formatter() -> Formatter:
    tokenizer = make_llama_tokenizer(VICUNA)
    return Formatter(tokenizer, ChatFormat(tokenizer, None, None), system_prompt=None)


FORMATTERS = {**{name: text_formatter(name) for name in TEMPLATES}, "blanks joined": blank_joining_formatter()}


def about(context: str, question: str = PAIR[0], answer: str = PAIR[1]) -> Example:
    return replace(ask(question, answer), context=context)


def said(formatter: Formatter, single: Encoded) -> tuple[str, str]:
    decode = formatter.tokenizer.decode
    return decode(single.prefix_ids), decode(single.branches[0].ids)


# Where a context ends.


@pytest.mark.parametrize("name", FORMATTERS)
def test_a_context_ends_where_its_text_does(name: str) -> None:
    formatter = FORMATTERS[name]
    prefix, branch = said(formatter, formatter.encode(about(SVG), answered=True))
    assert prefix.endswith("</svg>")
    assert branch.lstrip("\n").startswith(PAIR[0])


@pytest.mark.parametrize("name", FORMATTERS)
@pytest.mark.parametrize("context", [SVG, SVG.strip(), "тёмный круг 👩‍👩‍👧", "a\tb  ", "x"])
def test_training_and_asking_see_the_same_prompt(name: str, context: str) -> None:
    formatter = FORMATTERS[name]
    taught, asked = (formatter.encode(about(context), answered=answered) for answered in (True, False))
    assert taught.prefix_ids is asked.prefix_ids
    asked_ids = asked.branches[0].ids.tolist()
    assert taught.branches[0].ids[: len(asked_ids)].tolist() == asked_ids


@given(context=st.text(min_size=1).filter(lambda text: "<" not in text), first=VISIBLE, second=VISIBLE)
def test_a_context_is_the_same_whichever_question_follows(context: str, first: str, second: str) -> None:
    for name in ("chatml", "vicuna", "endless", "blanks joined"):
        one, other = (FORMATTERS[name].encode(about(context, question), answered=False) for question in (first, second))
        assert one.prefix_ids.tolist() == other.prefix_ids.tolist()


@pytest.mark.parametrize("name", FORMATTERS)
def test_a_files_last_newline_does_not_make_it_another_text(name: str) -> None:
    for answered in (True, False):
        one, other = (FORMATTERS[name].encode(about(text), answered=answered) for text in (SVG, SVG.strip()))
        assert one.prefix_ids is other.prefix_ids
        assert one.branches[0].ids.tolist() == other.branches[0].ids.tolist()


def test_a_context_stands_once_before_a_conversation() -> None:
    formatter = FORMATTERS["chatml"]
    single = formatter.encode(replace(ask(*PAIR, "are you sure?", "yes"), context=SVG), answered=True)
    assert "".join(said(formatter, single)).count("<svg") == 1


def test_questions_about_one_text_share_it_and_others_do_not() -> None:
    formatter = FORMATTERS["chatml"]
    singles = [
        formatter.encode(replace(about(context, question), id=f"{context}{question}", group=group), answered=True)
        for context, question, group in (
            (SVG, "what?", "a"), (SVG, "how?", "b"), ("x", "what?", "a"), ("y", "what?", "a"), ("", "what?", "a"),
        )
    ]  # fmt: skip
    assert [len(context.branches) for context in share_contexts(singles)] == [2, 1, 1, 1]


def test_a_template_that_rewrites_the_context_is_refused() -> None:
    tokenizer = make_tokenizer()
    shouting = "{% for m in messages %}{{ m['content'] | replace('red', 'RED') }}\n{% endfor %}"
    formatter = Formatter(tokenizer, ChatFormat(tokenizer, None, shouting), system_prompt=None)
    with pytest.raises(ModelError, match="does not show a context as it was written") as caught:
        formatter.encode(about(SVG), answered=True)
    assert "model.chat_template" in caught.value.hint


def test_a_template_that_drops_the_question_is_refused() -> None:
    with pytest.raises(ModelError, match="drops the question"):
        ChatFormat(make_tokenizer(), None, "{% for m in messages %}.{% endfor %}")


# Images and texts.


@pytest.mark.parametrize("answered", [True, False])
def test_a_text_model_refuses_an_image_by_name(answered: bool, examples: tuple[Example, ...]) -> None:
    with pytest.raises(DataError, match="1: shows an image \\(plain-200-20-20\\), but the model reads text") as caught:
        FORMATTERS["vicuna"].encode(examples[0], answered=answered)
    assert "llava" in caught.value.hint


def test_a_model_that_sees_images_reads_a_text_behind_them() -> None:
    template, special = TEMPLATES["chatml"]
    formatter = make_formatter(make_tokenizer(*special, template=template))
    prefix, branch = said(formatter, formatter.encode(about(SVG), answered=True))
    assert prefix.endswith("</svg>")
    shown = formatter.encode(replace(ask(*PAIR, images=(IMAGE,)), context=SVG), answered=True)
    assert said(formatter, shown) == (prefix.replace("user\n", "user\n" + "<image>" * FEATURES + "\n", 1), branch)


# Checkpoints.


def load(spec: TextModel, root: Path) -> Loaded:
    return load_model(spec, data_root=root, seed=1, texts=lambda: [SVG, *PAIR] * 20)


def in_folder(**settings: Any) -> TextModel:
    settings = {"chat_template": "plain", **settings}
    return TextModel.model_validate({"kind": "text", "name_or_path": "language", **settings})


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_a_checkpoint_is_loaded_as_it_is(kind: str, tmp_path: Path) -> None:
    saved = save_language(tmp_path / "language", kind, bare_llama_tokenizer())
    loaded = load(in_folder(), tmp_path)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=ids).logits, saved(input_ids=ids).logits)
    assert loaded.random_parts == frozenset()
    assert "<image>" not in loaded.formatter.tokenizer.get_vocab()
    assert loaded.formatter.tokenizer.pad_token_id is not None
    described, parts = describe_model(in_folder(), data_root=tmp_path)
    assert {name: p.shape for name, p in described.named_parameters()} == {
        name: p.shape for name, p in loaded.model.named_parameters()
    }
    assert parts.present == ("language",)


def test_number_formats_are_the_recipes(tmp_path: Path, make_model: Callable[..., Loaded]) -> None:
    save_language(tmp_path / "language", "llama", bare_llama_tokenizer())
    for loaded in (load(in_folder(dtype="bfloat16"), tmp_path), make_model(None, dtype="bfloat16")):
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
        assert loaded.model.get_buffer("model.rotary_emb.inv_freq").dtype == torch.float32


def test_a_llava_is_no_text_model_and_the_other_way_round(tmp_path: Path, make_model: Callable[..., Loaded]) -> None:
    make_model().model.config.save_pretrained(tmp_path / "language")
    with pytest.raises(ModelError, match="type 'llava', and no language model by itself") as caught:
        load(in_folder(), tmp_path)
    assert "kind: llava" in caught.value.hint
    make_model(None).model.config.save_pretrained(tmp_path / "language")
    with pytest.raises(ModelError, match="type 'llama', not LLaVA") as caught:
        read_llava_config(locate("language", None, tmp_path))
    assert "kind: text" in caught.value.hint


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model can be found") as caught:
        (tmp_path / "language").mkdir()
        load(in_folder(), tmp_path)
    assert "model.name_or_path" in caught.value.hint


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tmp_path: Path) -> None:
    save_language(tmp_path / "language", "llama", bare_llama_tokenizer())
    make_tokenizer(*(f"<{number}>" for number in range(300))).save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(ModelError, match=r"the tokenizer has \d+ tokens, the language model only") as caught:
        load(in_folder(tokenizer={"name_or_path": "./tokenizer"}), tmp_path)
    assert "vocab_size" in caught.value.hint


def test_a_configuration_needs_a_tokenizer_and_takes_no_4_bit_weights(
    make_spec: Callable[..., TextModel], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="brings no tokenizer"):
        load(make_spec(None, tokenizer={}), tmp_path)
    with pytest.raises(ModelError, match="random weights cannot be quantised"):
        load(make_spec(None, quantization={}), tmp_path)


def test_an_unknown_setting_of_the_configuration_is_named(make_spec: Callable[..., TextModel], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.config: a llama has no hidden_sise") as caught:
        load(make_spec(None, config={"model_type": "llama", "hidden_sise": 64}), tmp_path)
    assert "hidden_size" in caught.value.hint


def test_a_tokenizer_is_learned_from_the_texts_too(make_model: Callable[..., Loaded]) -> None:
    learned = [about(SVG), about(SVG, "how many?"), about("<g/>")]
    assert list(training_texts(learned))[:2] == [SVG, "<g/>"]
    assert "how many?" in training_texts(learned)
    vocabulary = make_model(None).formatter.tokenizer.get_vocab()
    assert {"<pad>", "<s>", "</s>"} <= vocabulary.keys()
    assert "<image>" not in vocabulary


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_a_quantised_checkpoint_counts_and_adapts_as_described(tmp_path: Path) -> None:
    save_language(tmp_path / "language", "llama", bare_llama_tokenizer())
    stage = Stage.model_validate({"tune": {"language": {"method": "lora", "r": 2}}})
    loaded = load(in_folder(quantization={"bnb_4bit_compute_dtype": "float32"}), tmp_path)
    packed = {name for name, parameter in loaded.model.named_parameters() if not parameter.is_floating_point()}
    assert len(packed) == 2 * 7
    described = describe_parameters(*describe_model(in_folder(), data_root=tmp_path), stage)
    assert prepare_model(loaded, stage.tune, stage.train) == described
    assert [part["part"] for part in described["parts"]] == ["language"]
