"""From a conversation to tokens: what is learned, where a context ends, and that nothing is doubled or lost."""

from __future__ import annotations

import numpy as np
import pytest
from template_making import (
    CHATML,
    ENDLESS,
    FEATURES,
    GEMMA,
    LLAVA_LIST,
    TEMPLATES,
    VICUNA,
    ask,
    make_formatter,
    make_llama_tokenizer,
    make_tokenizer,
)

from finesight.errors import DataError, ModelError
from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.formatter import Formatter

IMAGE = object()
PAIR = ("what colour is it?", "dark red")


def formatter_of(name: str, **settings: bool) -> Formatter:
    template, special = TEMPLATES[name]
    return make_formatter(make_tokenizer(*special, template=template, **settings))


def whole(single: Encoded) -> list[int]:
    return [*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]


def learned_text(formatter: Formatter, single: Encoded) -> str:
    (branch,) = single.branches
    return str(formatter.tokenizer.decode(branch.labels[branch.labels != UNLEARNED]))


@pytest.mark.parametrize("name", TEMPLATES)
def test_training_and_asking_see_the_same_prompt(name: str) -> None:
    formatter = formatter_of(name)
    example = ask(*PAIR, "are you sure?", "yes", images=(IMAGE,))
    taught, asked = (formatter.encode(example, answered=answered) for answered in (True, False))
    assert taught.prefix_ids is asked.prefix_ids
    (taught_branch,), (asked_branch,) = taught.branches, asked.branches
    length = len(asked_branch.ids)
    assert taught_branch.ids[:length].tolist() == asked_branch.ids.tolist()
    assert taught_branch.labels[length] != UNLEARNED, "the answer begins where the question's prompt ends"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vicuna", " dark red</s> yes</s>"),
        ("gemma", "dark red<end_of_turn>yes<end_of_turn>"),
        ("llama 3", "dark red<|eot_id|>yes<|eot_id|>"),
        ("chatml", "dark red<|im_end|>yes<|im_end|>"),
    ],
)
def test_every_answer_and_what_ends_it_is_learned_and_nothing_else(name: str, expected: str) -> None:
    formatter = formatter_of(name)
    single = formatter.encode(ask(*PAIR, "are you sure?", "yes", images=(IMAGE,)), answered=True)
    assert learned_text(formatter, single) == expected


def test_the_newline_behind_an_end_token_is_context_not_answer() -> None:
    formatter = formatter_of("gemma")
    (branch,) = formatter.encode(ask(*PAIR), answered=True).branches
    assert formatter.tokenizer.decode(branch.ids[-2:]) == "<end_of_turn>\n"
    assert branch.labels[-2] == branch.ids[-2]
    assert branch.labels[-1] == UNLEARNED


@pytest.mark.parametrize(("template", "prompt"), [(ENDLESS, "Q: what colour is it?\nA:"), (LLAVA_LIST, "ASSISTANT:")])
def test_an_answer_that_a_template_ends_with_nothing_is_ended_by_eos(template: str, prompt: str) -> None:
    formatter = make_formatter(make_tokenizer(template=template))
    single = formatter.encode(ask(*PAIR), answered=True)
    assert learned_text(formatter, single) == " dark red</s>", "blanks of the template are not part of an answer"
    assert formatter.end_ids == {formatter.tokenizer.eos_token_id}
    assert formatter.tokenizer.decode(whole(single)).endswith(f"{prompt} dark red</s>")


@pytest.mark.parametrize("name", TEMPLATES)
def test_decoding_may_stop_at_what_the_template_ends_answers_with_and_at_eos(name: str) -> None:
    formatter = formatter_of(name)
    ends = {formatter.tokenizer.decode([token]) for token in formatter.end_ids}
    special = {"gemma": "<end_of_turn>", "llama 3": "<|eot_id|>", "chatml": "<|im_end|>"}
    assert ends == {"</s>", *([special[name]] if name in special else [])}


def test_neither_eos_nor_an_end_in_the_template_is_refused() -> None:
    tokenizer = make_tokenizer(template=ENDLESS)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="ends an answer") as caught:
        make_formatter(tokenizer)
    assert "eos_token" in caught.value.hint


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize(("name", "writes_bos"), [("gemma", True), ("llama 3", True), ("vicuna", False)])
def test_bos_stands_once_whoever_adds_it(name: str, writes_bos: bool, adds_bos: bool) -> None:
    formatter = formatter_of(name, adds_bos=adds_bos)
    for answered in (True, False):
        for images in ((), (IMAGE,)):
            ids = whole(formatter.encode(ask(*PAIR, images=images), answered=answered))
            bos = formatter.tokenizer.bos_token_id
            assert ids.count(bos) == int(writes_bos or adds_bos)
            assert bos not in ids[1:]


def test_a_tokenizer_that_joins_blanks_to_words_gives_equal_prompts_and_one_bos() -> None:
    formatter = make_formatter(make_llama_tokenizer(VICUNA))
    example = ask(*PAIR, "are you sure?", "yes", images=(IMAGE,))
    taught, asked = (formatter.encode(example, answered=answered) for answered in (True, False))
    assert whole(taught)[: len(whole(asked))] == whole(asked)
    assert whole(taught).count(formatter.tokenizer.bos_token_id) == 1
    assert learned_text(formatter, taught) == "dark red</s> yes</s>"


@pytest.mark.parametrize("images", [1, 2])
def test_a_context_ends_behind_its_last_image_feature(images: int) -> None:
    formatter = formatter_of("chatml")
    single = formatter.encode(ask(*PAIR, images=(IMAGE,) * images), answered=True)
    assert int((single.prefix_ids == formatter.image_token_id).sum()) == images * FEATURES
    assert single.prefix_ids[-1] == formatter.image_token_id
    assert formatter.image_token_id not in single.branches[0].ids


def test_questions_about_one_image_have_one_context() -> None:
    formatter = formatter_of("chatml")
    first, second = (formatter.encode(ask(question, "no", images=(IMAGE,)), answered=True) for question in "ab")
    assert first.prefix_ids is second.prefix_ids


def test_a_system_prompt_belongs_to_the_context() -> None:
    tokenizer = make_tokenizer("<|im_start|>", "<|im_end|>", template=CHATML)
    formatter = make_formatter(tokenizer, system_prompt="Be brief.")
    for answered in (True, False):
        single = formatter.encode(ask(*PAIR, images=(IMAGE,)), answered=answered)
        assert tokenizer.decode(single.prefix_ids).startswith(
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user"
        )


def test_a_system_prompt_that_the_template_refuses_is_refused_before_any_example() -> None:
    tokenizer = make_tokenizer("<start_of_turn>", "<end_of_turn>", template=GEMMA)
    with pytest.raises(ModelError, match="System role not supported"):
        make_formatter(tokenizer, system_prompt="Be brief.")


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("images", [(), (IMAGE,)])
def test_an_image_token_in_the_text_is_refused_by_name(answered: bool, images: tuple[object, ...]) -> None:
    with pytest.raises(DataError, match=r"17: \d image tokens in the text") as caught:
        formatter_of("vicuna").encode(ask("what does <image> mean?", "red", images=images), answered=answered)
    assert "remove" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        "тёмно-красный",
        'да , конечно ; it \'s "so" .',
        "👩‍👩‍👧 и 🇬🇪",
        "أحمر داكن",
        "שחור/לבן",
        "é = e + ́",
        "一 二\n三\t四",
        "½ × 3²",
    ],
)
def test_any_answer_decodes_back_exactly(answer: str) -> None:
    for formatter in (formatter_of("chatml"), formatter_of("vicuna"), make_formatter(make_llama_tokenizer(VICUNA))):
        (branch,) = formatter.encode(ask("что это?", answer, images=(IMAGE,)), answered=True).branches
        learned = branch.labels[branch.labels != UNLEARNED]
        assert formatter.decode(learned) == answer
        assert int(learned[-1]) in formatter.end_ids


def test_labels_are_the_tokens_themselves() -> None:
    (branch,) = formatter_of("llama 3").encode(ask(*PAIR, images=(IMAGE,)), answered=True).branches
    learned = branch.labels != UNLEARNED
    assert np.array_equal(branch.labels[learned], branch.ids[learned])
    assert not learned[0]


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow(type(make_tokenizer())):  # type: ignore[misc]
        is_fast = False

    tokenizer = make_tokenizer(template=VICUNA)
    tokenizer.__class__ = Slow
    with pytest.raises(ModelError, match="no character offsets") as caught:
        make_formatter(tokenizer)
    assert "tokenizer.json" in caught.value.hint


def test_blanks_that_a_template_puts_between_turns_are_not_learned() -> None:
    formatter = formatter_of("llava list")
    single = formatter.encode(ask(*PAIR, "are you sure?", "yes", images=(IMAGE,)), answered=True)
    assert learned_text(formatter, single) == " dark red yes</s>"


def test_an_empty_answer_is_learned_as_its_end_alone() -> None:
    for name, end in (("chatml", "<|im_end|>"), ("endless", "</s>"), ("gemma", "<end_of_turn>")):
        formatter = formatter_of(name)
        assert learned_text(formatter, formatter.encode(ask("what is it?", ""), answered=True)) == end
