"""A chat template: how it takes its content, where its answers stand, and which templates are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from template_making import LLAVA_LIST, TEMPLATES, VICUNA, make_tokenizer

from finesight.errors import ModelError, UserError
from finesight.models.chat import ChatFormat, builtin_templates, read_template
from finesight.models.tokenizers import IMAGE_TOKEN
from finesight.schema import Turn

QUESTION, ANSWER = Turn("user", "what colour is it?"), Turn("assistant", "dark red", learned=True)
AGAIN, SURE = Turn("user", "are you sure?"), Turn("assistant", "yes", learned=True)


def chat_of(template: str | None, *special: str) -> ChatFormat:
    return ChatFormat(make_tokenizer(*special), IMAGE_TOKEN, template)


@pytest.mark.parametrize("name", TEMPLATES)
def test_either_content_gives_one_image_token_an_image_before_the_question(name: str) -> None:
    template, special = TEMPLATES[name]
    chat = chat_of(template, *special)
    assert chat.content_style == ("list" if name == "llava list" else "string")
    for images in (0, 1, 2):
        text = chat.render((QUESTION, ANSWER, AGAIN), images, ask=True)
        assert text.count(IMAGE_TOKEN) == images
        assert IMAGE_TOKEN not in text[text.index(QUESTION.text) :]


def test_a_template_that_takes_both_contents_gets_its_own_image_pieces() -> None:
    both = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for piece in message['content'] %}{{ '[picture]<image>' if piece['type'] == 'image' else piece['text'] }}"
        "{% endfor %}{% endif %}{% endfor %}"
    )
    chat = chat_of(both)
    assert chat.content_style == "list"
    assert chat.render((QUESTION,), 1, ask=True) == "[picture]<image>what colour is it?"


def test_a_template_that_shows_only_the_text_of_a_list_gets_the_image_written_into_the_text() -> None:
    text_alone = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{{ message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join }}"
        "{% endif %}{% endfor %}"
    )
    chat = chat_of(text_alone)
    assert chat.content_style == "string"
    assert chat.render((QUESTION,), 1, ask=True) == "<image>\nwhat colour is it?"


@pytest.mark.parametrize("name", TEMPLATES)
def test_answers_stand_where_the_conversation_says(name: str) -> None:
    template, special = TEMPLATES[name]
    conversation = chat_of(template, *special).converse((QUESTION, ANSWER, AGAIN, SURE), 1)
    first, second = (conversation.text[begin:end] for begin, end in conversation.answers)
    assert (ANSWER.text in first, SURE.text in second) == (True, True)
    assert AGAIN.text not in first + second


def test_an_answer_that_is_not_learned_has_no_place() -> None:
    conversation = chat_of(VICUNA).converse((QUESTION, Turn("assistant", "dark red"), AGAIN, SURE), 1)
    ((begin, end),) = conversation.answers
    assert conversation.text[begin:end] == " yes</s>"


@pytest.mark.parametrize("template", ["{{ messages[0]['role'] }}: fixed words", "{% for m in messages %}.{% endfor %}"])
def test_a_template_that_drops_the_image_is_refused(template: str) -> None:
    with pytest.raises(ModelError, match="drops the image") as caught:
        chat_of(template)
    assert "model.chat_template" in caught.value.hint


@pytest.mark.parametrize(
    "template",
    [
        # Hides what was answered before, as templates of models that think aloud do.
        "{% for m in messages %}{{ m['content'] if loop.last or m['role'] == 'user' else '(hidden)' }}|{% endfor %}",
        # Says something once, at the end of the whole.
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '' if add_generation_prompt else eos_token }}",
    ],
)
def test_a_template_that_changes_earlier_turns_is_refused(template: str) -> None:
    with pytest.raises(ModelError, match="changes earlier turns") as caught:
        chat_of(template).converse((QUESTION, ANSWER, AGAIN, SURE), 1)
    assert "only appends" in caught.value.hint


def test_a_template_that_refuses_a_system_turn_says_so() -> None:
    template, special = TEMPLATES["gemma"]
    with pytest.raises(ModelError, match=r"system, user.*System role not supported") as caught:
        chat_of(template, *special).render((Turn("system", "Be brief."), QUESTION), 1, ask=True)
    assert "model.system_prompt" in caught.value.hint


def test_a_template_that_is_not_jinja_says_where_it_breaks() -> None:
    with pytest.raises(ModelError, match="cannot be read as Jinja") as caught:
        chat_of("{% for message in messages %}{{ message['content'] }}")
    assert "endfor" in caught.value.message


def test_a_tokenizer_without_a_template_is_told_the_built_in_names() -> None:
    with pytest.raises(ModelError, match="no chat template") as caught:
        chat_of(None)
    assert all(name in caught.value.hint for name in builtin_templates())


WITHOUT_SYSTEM = {"moondream": 4, "moondream-starmie": 4, "paligemma": 2}
"""Templates of models that were never given a system turn, and the turns of their longest conversation here."""


@pytest.mark.parametrize("name", builtin_templates())
def test_every_built_in_template_shows_the_image_and_ends_its_answers(name: str) -> None:
    chat = chat_of(read_template(name, Path()))
    turns = (QUESTION, ANSWER, AGAIN, SURE)[: WITHOUT_SYSTEM.get(name)]
    if name not in WITHOUT_SYSTEM:
        turns = (Turn("system", "Be brief."), *turns)
    conversation = chat.converse(turns, 1)
    assert conversation.text.count(IMAGE_TOKEN) == 1
    assert len(conversation.answers) == sum(turn.learned for turn in turns)
    assert all(conversation.text[:end].endswith("</s>") for _, end in conversation.answers)


@pytest.mark.parametrize("name", WITHOUT_SYSTEM)
def test_a_system_turn_that_a_template_has_no_place_for_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="the chat template refuses a conversation of system, user, assistant"):
        chat_of(read_template(name, Path())).converse((Turn("system", "Be brief."), QUESTION, ANSWER), 1)


def test_a_template_is_read_from_a_file_below_the_data_root(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(LLAVA_LIST, encoding="utf-8")
    assert read_template("own.jinja", tmp_path) == LLAVA_LIST
    assert read_template(LLAVA_LIST, tmp_path) == LLAVA_LIST


def test_a_template_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"other\.jinja: no such chat template"):
        read_template("other.jinja", tmp_path)
    with pytest.raises(UserError, match=r"'llava-1.6' is neither a built-in name") as caught:
        read_template("llava-1.6", tmp_path)
    assert "llava-1.5" in caught.value.hint
