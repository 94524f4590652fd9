"""Answers depend on the question and its context alone: not on batches, order, budget or neighbours."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from finesight.evaluate.engine import Engine
from finesight.models.loaded import Loaded
from finesight.schema import Example, Prediction


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def loaded(
    request: pytest.FixtureRequest, make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]
) -> Loaded:
    loaded = enliven(make_model("siglip_vision_model", "llama", attn_implementation=request.param))
    # Every eighth token ends an answer, so that some end early.
    loaded.formatter.end_ids |= set(range(0, 340, 8))
    return loaded


def answers(
    loaded: Loaded, examples: Sequence[Example], *, max_tokens: int = 4096, blank: bool = False, tokens: int = 6
):  # type: ignore[no-untyped-def]
    questions = [loaded.formatter.encode(example, answered=False) for example in examples]
    engine = Engine(loaded, max_tokens=max_tokens, without_context=blank)
    predictions = [prediction for batch in engine.answer(questions, max_new_tokens=tokens) for prediction in batch]
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
    assert blank.shape == (2, *loaded.formatter.pixels(examples[0].images).shape[1:])
    assert torch.count_nonzero(blank) == 0
