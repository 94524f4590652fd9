"""Answers that are weighed: the likelihoods of plain rows, and the likeliest option, whatever stands beside it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from finesight.branches.images import image_arguments
from finesight.errors import ModelError
from finesight.evaluate.engine import Engine
from finesight.evaluate.likelihood import LikelihoodBy, with_answers
from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.loaded import Loaded
from finesight.schema import Example, Turn

OPTIONS = ("red", "dark blue", "seven", "how many things are there?", "yes")
LETTERS = ("A", "B", "C", "D", "E")


@pytest.fixture(scope="module", params=["sees", "reads"])
def loaded(
    request: pytest.FixtureRequest, make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]
) -> Loaded:
    vision = "clip_vision_model" if request.param == "sees" else None
    return enliven(make_model(vision, "gemma"))


@pytest.fixture(scope="module")
def asked(loaded: Loaded, examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """The questions of `examples`, each with options, each about its image or, for a model that reads, its name."""
    with_options = (replace(example, choices=OPTIONS) for example in examples)
    if loaded.traits.sees_images:
        return tuple(with_options)
    return tuple(
        replace(example, images=(), context=f"<svg id={example.images[0].name!r}/>") if example.images else example
        for example in with_options
    )


def encode(loaded: Loaded, examples: Sequence[Example]) -> list[Encoded]:
    return [loaded.formatter.encode(example, answered=False) for example in examples]


def choices(engine: Engine, examples: Sequence[Example], by: LikelihoodBy = "mean") -> dict[str, str]:
    batches = engine.choose(encode(engine.loaded, examples), by=by)
    predictions = [prediction for batch in batches for prediction in batch]
    by_id = {prediction.id: prediction.text for prediction in predictions}
    assert len(by_id) == len(predictions) == len(examples)
    return by_id


def plain_likelihood(loaded: Loaded, example: Example, answer: str) -> tuple[float, int]:
    """As plainly as it can be written: a row of its own without a mask, all its logits."""
    turns = (*(replace(turn, learned=False) for turn in example.turns[:-1]), Turn("assistant", answer, learned=True))
    single = loaded.formatter.encode(replace(example, turns=turns), answered=True)
    (branch,) = single.branches
    ids = torch.from_numpy(np.concatenate([single.prefix_ids, branch.ids]).astype(np.int64))
    seen = image_arguments(loaded.model, loaded.formatter.pixels(single.images))
    with torch.no_grad():
        chances = loaded.model(input_ids=ids[None], use_cache=False, **seen).logits[0].log_softmax(-1)
    learned = len(single.prefix_ids) + np.flatnonzero(branch.labels != UNLEARNED)
    assert loaded.formatter.decode(ids[learned].tolist()) == answer
    assert int(ids[learned[-1]]) in loaded.formatter.end_ids
    return float(chances[learned - 1, ids[learned]].sum()), len(learned)


@pytest.fixture(scope="module")
def plain(loaded: Loaded, asked: tuple[Example, ...]) -> dict[tuple[str, str], tuple[float, int]]:
    return {(example.id, option): plain_likelihood(loaded, example, option) for example in asked for option in OPTIONS}


@pytest.mark.parametrize("by", ["mean", "sum"])
def test_the_likeliest_option_is_chosen(
    loaded: Loaded,
    asked: tuple[Example, ...],
    plain: dict[tuple[str, str], tuple[float, int]],
    by: LikelihoodBy,
) -> None:
    def weigh(example: Example, option: str) -> float:
        total, tokens = plain[example.id, option]
        return total / tokens if by == "mean" else total

    expected = {example.id: max(OPTIONS, key=lambda option: weigh(example, option)) for example in asked}
    assert choices(Engine(loaded, 4096), asked, by) == expected
    assert len(set(expected.values())) > 1, "choices that are all alike prove little"


def test_the_mean_and_the_sum_choose_differently_or_nothing_here_could_fail(
    loaded: Loaded, asked: tuple[Example, ...]
) -> None:
    assert choices(Engine(loaded, 4096), asked, "mean") != choices(Engine(loaded, 4096), asked, "sum")


@pytest.mark.parametrize("max_tokens", [1, 60, 120, 400])
def test_a_choice_depends_on_neither_budget_nor_order(
    loaded: Loaded, asked: tuple[Example, ...], max_tokens: int
) -> None:
    expected = choices(Engine(loaded, 4096), asked)
    shuffled = random.Random(max_tokens).sample(asked, len(asked))
    assert choices(Engine(loaded, max_tokens), shuffled) == expected
    assert choices(Engine(loaded, max_tokens), asked[2:4]) == {name: expected[name] for name in ("3", "4")}


def test_letters_are_weighed_where_options_have_them(loaded: Loaded, asked: tuple[Example, ...]) -> None:
    lettered = [replace(example, letters=LETTERS) for example in asked]
    spelled = [replace(example, choices=LETTERS) for example in asked]
    chosen = choices(Engine(loaded, 4096), lettered)
    assert chosen == choices(Engine(loaded, 4096), spelled)
    assert set(chosen.values()) <= set(LETTERS)


def test_of_equal_options_one_is_weighed(loaded: Loaded, asked: tuple[Example, ...]) -> None:
    (chosen,) = choices(Engine(loaded, 4096), [replace(asked[0], choices=("nan", "nan"))]).values()
    assert chosen == "nan"


def test_without_its_context_a_question_is_answered_from_its_text(loaded: Loaded, asked: tuple[Example, ...]) -> None:
    red, green = replace(asked[0], turns=asked[3].turns), asked[3]
    seen = Engine(loaded, 4096).score_references(encode(loaded, [replace(red, references=green.references), green]))
    one, other = (score.log_likelihood for batch in seen for score in batch)
    assert one != other
    blind = Engine(loaded, 4096, without_context=True)
    guessed = blind.score_references(encode(loaded, [replace(red, references=green.references), green]))
    one, other = (score.log_likelihood for batch in guessed for score in batch)
    assert one == pytest.approx(other, abs=1e-5)
    assert choices(blind, [red])[red.id] == choices(blind, [green])[green.id]


@pytest.mark.parametrize("max_tokens", [1, 120, 4096])
def test_references_are_as_likely_as_in_rows_of_their_own(
    loaded: Loaded, asked: tuple[Example, ...], max_tokens: int
) -> None:
    batches = list(Engine(loaded, max_tokens).score_references(encode(loaded, asked)))
    scores = {score.id: score for batch in batches for score in batch}
    assert len(scores) == sum(map(len, batches)) == len(asked)
    for example in asked:
        total, tokens = plain_likelihood(loaded, example, example.references[0])
        assert scores[example.id].tokens == tokens
        assert scores[example.id].log_likelihood == pytest.approx(total, abs=1e-4)
        assert -inf < total < 0


def test_the_question_has_the_tokens_that_are_asked_when_the_model_writes(
    loaded: Loaded, asked: tuple[Example, ...]
) -> None:
    for single in encode(loaded, asked):
        answered = with_answers(loaded.formatter, single, OPTIONS)
        assert answered.prefix_ids.tolist() == single.prefix_ids.tolist()
        assert [branch.example.answer for branch in answered.branches] == list(OPTIONS)
        for branch in answered.branches:
            asking = int((branch.labels == UNLEARNED).argmin())
            assert branch.ids[:asking].tolist() == single.branches[0].ids.tolist()


def test_an_option_that_changes_the_question_is_refused(loaded: Loaded, asked: tuple[Example, ...]) -> None:
    (single,) = encode(loaded, asked[:1])
    (branch,) = single.branches
    joined = single.with_branches((replace(branch, ids=branch.ids[:-1], labels=branch.labels[:-1]),))
    with pytest.raises(ModelError, match="tokens of the question change when 'red' is put behind it"):
        with_answers(loaded.formatter, joined, OPTIONS)
