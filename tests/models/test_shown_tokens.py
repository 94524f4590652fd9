"""Tokens as `look` shows them: in letters that add up to the text, answers where the template puts them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from template_making import TEMPLATES, VICUNA, ask, make_formatter, make_llama_tokenizer, make_tokenizer

from finesight.look.answers import find_answers, row_ids
from finesight.look.spelling import Speller, Token
from finesight.models.encoded import UNLEARNED
from finesight.models.formatter import Formatter

IMAGE = object()


@functools.cache
def byte_level() -> Formatter:
    return make_formatter(make_tokenizer(template=VICUNA))


@functools.cache
def as_llama() -> Formatter:
    return make_formatter(make_llama_tokenizer(VICUNA))


def letters_of(formatter: Formatter, text: str) -> str:
    ids = formatter.tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = Speller(formatter).spell([Token(token, place, "question", False) for place, token in enumerate(ids)])
    assert [token for piece in pieces for token in piece["ids"]] == ids
    positions = [piece["first_position"] + number for piece in pieces for number in range(len(piece["ids"]))]
    assert positions == list(range(len(ids)))
    return "".join(piece["text"] for piece in pieces)


@pytest.mark.parametrize("make", [byte_level, as_llama])
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="<\ufffd"), max_size=40))
def test_the_letters_of_all_tokens_are_the_text(make: Callable[[], Formatter], text: str) -> None:
    formatter = make()
    ids = formatter.tokenizer(text, add_special_tokens=False)["input_ids"]
    # A tokenizer may change a text; what it then stands for is what has to be shown.
    anchor = formatter.tokenizer("a", add_special_tokens=False)["input_ids"]
    stands_for = formatter.tokenizer.decode([*anchor, *ids], clean_up_tokenization_spaces=False).removeprefix("a")
    assert letters_of(formatter, text) == stands_for


@pytest.mark.parametrize("make", [byte_level, as_llama])
def test_a_letter_of_several_tokens_is_one_piece(make: Callable[[], Formatter]) -> None:
    formatter = make()
    ids = formatter.tokenizer("Ж", add_special_tokens=False)["input_ids"]
    pieces = Speller(formatter).spell([Token(token, 5 + place, "answer", True) for place, token in enumerate(ids)])
    # Llama's has a token for the blank that it puts before every text.
    assert "".join(piece["text"] for piece in pieces).strip() == "Ж"
    *_, piece = pieces
    assert (piece["text"], len(piece["ids"]), piece["learned"]) == ("Ж", 2, True)
    assert piece["first_position"] == 5 + len(ids) - 2


def test_a_torn_letter_and_a_special_token_have_names() -> None:
    formatter = byte_level()
    torn = formatter.tokenizer("Ж", add_special_tokens=False)["input_ids"][0]
    end = formatter.tokenizer.eos_token_id
    pieces = Speller(formatter).spell([Token(torn, 0, "answer", True), Token(end, 1, "answer", True)])
    assert [(piece["form"], piece["text"]) for piece in pieces] == [
        ("text", formatter.tokenizer.convert_ids_to_tokens(torn)),
        ("special", "</s>"),
    ]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("learned", [True, False])
def test_answers_stand_where_the_template_puts_them_whatever_the_labels_say(name: str, learned: bool) -> None:
    template, special = TEMPLATES[name]
    formatter = make_formatter(make_tokenizer(*special, template=template))
    example = ask("what colour is it?", "dark red", "are you sure?", "yes", images=(IMAGE,), learned=learned)
    ids = row_ids(formatter.encode(example, answered=True)).tolist()
    answers = [formatter.decode(ids[place] for place in answer) for answer in find_answers(formatter, example)]
    assert answers == ["dark red", "yes"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_learned_token_is_inside_an_answer(name: str) -> None:
    template, special = TEMPLATES[name]
    formatter = make_formatter(make_tokenizer(*special, template=template))
    example = ask("what colour is it?", "dark red", "are you sure?", "yes", images=(IMAGE,))
    single = formatter.encode(example, answered=True)
    first = len(single.prefix_ids)
    learned = {first + place for place, label in enumerate(single.branches[0].labels) if label != UNLEARNED}
    assert learned <= {place for answer in find_answers(formatter, example) for place in answer}
