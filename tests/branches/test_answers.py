"""Answers depend on the question and its context alone: not on batches, order, budget or neighbours."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from finesight.evaluate.engine import Engine
from finesight.models.loaded import Loaded
from finesight.schema import Example, Prediction, Sampling


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def loaded(
    request: pytest.FixtureRequest, make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]
) -> Loaded:
    loaded = enliven(make_model("siglip_vision_model", "llama", attn_implementation=request.param))
    # Every eighth token ends an answer, so that some end early.
    loaded.formatter.end_ids |= set(range(0, 340, 8))
    return loaded


def answers(
    loaded: Loaded,
    examples: Sequence[Example],
    *,
    max_tokens: int = 4096,
    blank: bool = False,
    tokens: int = 6,
    stop: tuple[str, ...] = (),
    sampling: Sampling | None = None,
) -> dict[str, Prediction]:
    questions = [loaded.formatter.encode(example, answered=False) for example in examples]
    engine = Engine(loaded, max_tokens=max_tokens, without_context=blank)
    batches = engine.answer(questions, max_new_tokens=tokens, stop=stop, sampling=sampling)
    predictions = [prediction for batch in batches for prediction in batch]
    by_id = {prediction.id: prediction for prediction in predictions}
    assert len(by_id) == len(predictions) == len(examples)
    return by_id


@pytest.fixture
def alone(loaded: Loaded, examples: tuple[Example, ...]) -> dict[str, Prediction]:
    """Every question answered in a row of its own."""
    return {example.id: answers(loaded, [example])[example.id] for example in examples}


@pytest.mark.parametrize("max_tokens", [1, 40, 60, 90, 200, 4096])
def test_answers_do_not_depend_on_the_token_budget(
    loaded: Loaded, examples: tuple[Example, ...], alone: dict[str, Prediction], max_tokens: int
) -> None:
    assert answers(loaded, examples, max_tokens=max_tokens) == alone


@pytest.mark.parametrize("seed", range(4))
def test_answers_do_not_depend_on_order_or_company(
    loaded: Loaded, examples: tuple[Example, ...], alone: dict[str, Prediction], seed: int
) -> None:
    company = random.Random(seed).sample(examples, 1 + seed % len(examples))
    assert answers(loaded, company) == {example.id: alone[example.id] for example in company}


def test_an_answer_is_cut_at_the_limit_and_says_so(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    longer, shorter = (answers(loaded, examples, tokens=tokens) for tokens in (6, 4))
    ended = {name for name, prediction in shorter.items() if prediction.finish_reason == "stop"}
    assert 0 < len(ended) < len(examples)
    assert {name: longer[name] for name in ended} == {name: shorter[name] for name in ended}
    assert all(longer[name].text != shorter[name].text for name in shorter.keys() - ended)


def test_answers_differ_or_nothing_here_could_fail(alone: dict[str, Prediction]) -> None:
    assert len({prediction.text for prediction in alone.values()}) == len(alone)


# Texts that end an answer.


@pytest.mark.parametrize("budget", [1, 4096])
def test_an_answer_ends_before_the_first_of_the_texts(
    loaded: Loaded, examples: tuple[Example, ...], alone: dict[str, Prediction], budget: int
) -> None:
    first, second = [name for name, whole in alone.items() if len(whole.text) >= 6][:2]
    stop = (alone[first].text[2:4], alone[second].text[3:6])
    stopped = answers(loaded, examples, stop=stop, max_tokens=budget)
    for name, whole in alone.items():
        places = [whole.text.find(text) for text in stop if text in whole.text]
        expected = replace(whole, text=whole.text[: min(places)].strip(), finish_reason="stop") if places else whole
        assert stopped[name] == expected
    assert {name for name in alone if stopped[name] != alone[name]} >= {first, second}
    assert any(stopped[name] == alone[name] for name in alone), "an answer without these texts is not touched"


def test_an_answer_that_has_come_to_its_text_takes_no_more_steps(
    loaded: Loaded, examples: tuple[Example, ...], alone: dict[str, Prediction]
) -> None:
    steps = []
    counting = loaded.model.register_forward_pre_hook(lambda *_: steps.append(1))
    (name, whole) = max(alone.items(), key=lambda item: len(item[1].text))
    (example,) = (example for example in examples if example.id == name)
    answers(loaded, [example])
    without = len(steps)
    answers(loaded, [example], stop=(whole.text[0],))
    counting.remove()
    assert len(steps) - without < without


def test_an_answer_may_be_empty_before_its_text(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    whole = answers(loaded, examples[:1])[examples[0].id]
    stopped = answers(loaded, examples[:1], stop=(whole.text[0],))[examples[0].id]
    assert stopped == Prediction(examples[0].id, "", "stop")


# Drawn at random.

DRAWN = Sampling(temperature=1.5, top_p=0.95, seed=5)


def test_drawn_answers_follow_from_the_seed_and_the_id_alone(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    drawn = answers(loaded, examples, sampling=DRAWN)
    assert drawn == answers(loaded, examples[::-1], sampling=DRAWN, max_tokens=90)
    assert {name: drawn[name] for name in ("2", "5")} == answers(loaded, (examples[1], examples[4]), sampling=DRAWN)
    assert drawn != answers(loaded, examples, sampling=replace(DRAWN, seed=6))
    assert drawn != answers(loaded, examples)
    renamed = [replace(example, id=f"{example.id}-again") for example in examples]
    assert [p.text for p in answers(loaded, renamed, sampling=DRAWN).values()] != [p.text for p in drawn.values()]


@pytest.mark.parametrize("sampling", [Sampling(1.0, 1e-9, 0), Sampling(1e-4, 1.0, 0)], ids=str)
def test_drawing_from_the_likeliest_token_alone_is_greedy(
    loaded: Loaded, examples: tuple[Example, ...], alone: dict[str, Prediction], sampling: Sampling
) -> None:
    assert answers(loaded, examples, sampling=sampling) == alone


def test_blank_images_answer_from_the_text_alone(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    red, green = examples[0], examples[3]
    assert red.question == green.question
    blank = answers(loaded, examples, blank=True)
    assert blank[red.id].text == blank[green.id].text
    assert answers(loaded, examples)[red.id] != blank[red.id]
    assert blank["6"] == answers(loaded, examples)["6"], "a question without an image is not touched"


def test_a_text_is_taken_away_and_the_question_stays(
    make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded], examples: tuple[Example, ...]
) -> None:
    loaded = enliven(make_model(None))
    one, other = (replace(examples[5], id=text, context=text) for text in ("seven red", "dark blue green"))
    bare = replace(one, id="bare", context="")
    seen, blank = (answers(loaded, (one, other, bare), blank=blank) for blank in (False, True))
    assert len({prediction.text for prediction in seen.values()}) == 3
    assert {prediction.text for prediction in blank.values()} == {seen["bare"].text}


def test_a_blank_image_is_what_the_encoder_takes_as_the_mean(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    blank = loaded.formatter.blank_pixels(2)
    assert blank.shape == (2, *loaded.formatter.pixels(examples[0].images)["pixel_values"].shape[1:])
    assert torch.count_nonzero(blank) == 0
