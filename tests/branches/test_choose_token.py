"""Drawing a token: from which of them, how often each, and the same again from the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from finesight.branches.choose_token import draw, how_to_choose, nucleus
from finesight.errors import ModelError
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example, Sampling, Turn

PROBABILITIES = [0.05, 0.5, 0.15, 0.3]
LOGITS = torch.tensor([PROBABILITIES]).log()


def context(*names: str) -> Encoded:
    ids = np.array([5], dtype=np.int32)
    turns = (Turn("user", "?"), Turn("assistant", "!", learned=True))
    branches = (Branch(Example(name, name, (), turns, ()), ids, np.full_like(ids, UNLEARNED)) for name in names)
    return Encoded(ids, (), tuple(branches))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (1e-9, {1}),
        (0.49, {1}),
        (0.51, {1, 3}),
        (0.79, {1, 3}),
        (0.81, {1, 2, 3}),
        (0.96, {0, 1, 2, 3}),
        (1.0, {0, 1, 2, 3}),
    ],
)
def test_the_likeliest_tokens_of_a_share_are_left(top_p: float, kept: set[int]) -> None:
    (weights,) = nucleus(LOGITS, Sampling(1.0, top_p, 0)).tolist()
    assert weights == pytest.approx([p if token in kept else 0.0 for token, p in enumerate(PROBABILITIES)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_temperature_divides_the_logits(temperature: float) -> None:
    (weights,) = nucleus(LOGITS, Sampling(temperature, 1.0, 0)).tolist()
    powers = [p ** (1 / temperature) for p in PROBABILITIES]
    assert weights == pytest.approx([power / sum(powers) for power in powers])


@pytest.mark.parametrize("temperature", [1e-6, 1e-308, 5e-324])
def test_the_smallest_temperatures_draw_the_likeliest_token(temperature: float) -> None:
    (weights,) = nucleus(100 * LOGITS, Sampling(temperature, 1.0, 0)).tolist()
    assert weights == [0.0, 1.0, 0.0, 0.0]


def test_every_token_is_drawn_as_often_as_it_weighs() -> None:
    weights = torch.tensor([[0.0, 0.2, 0.0, 0.3, 0.1, 0.0]], dtype=torch.float64)
    numbers = [(index + 0.5) / 600 for index in range(600)]
    drawn = draw(weights.expand(600, -1), numbers)
    assert [drawn.count(token) for token in range(6)] == [0, 200, 0, 300, 100, 0]
    assert draw(weights, [0.0]) == [1]
    assert draw(weights, [math.nextafter(1.0, 0.0)]) == [4], "a token without weight at the end is never drawn"


def test_a_branch_draws_the_same_in_any_company() -> None:
    sampling = Sampling(1.0, 1.0, 11)
    logits = torch.zeros(2, 3, 50)
    alone = how_to_choose([context("b")], sampling)
    drawn = [alone(logits[:1, :1], [[0]])[0][0] for _ in range(8)]
    together = how_to_choose([context("x"), context("a", "b", "c")], sampling)
    # The other branches of its row, and the other row, end one after the other.
    open_branches = [[[0], [0, 1, 2]], [[0], [0, 1, 2]], [[], [1, 2]], *[[[], [1]]] * 5]
    steps = [together(logits, branches)[1][branches[1].index(1)] for branches in open_branches]
    assert steps == drawn
    assert len(set(drawn)) > 3


def test_another_seed_and_another_example_draw_otherwise() -> None:
    logits = torch.zeros(1, 2, 1000)
    ((one, other),) = how_to_choose([context("a", "b")], Sampling(1.0, 1.0, 0))(logits, [[0, 1]])
    ((again, _),) = how_to_choose([context("a", "b")], Sampling(1.0, 1.0, 1))(logits, [[0, 1]])
    assert len({one, other, again}) == 3


@pytest.mark.parametrize("sampling", [None, Sampling(1.0, 1.0, 0), Sampling(0.7, 0.9, 0)], ids=str)
def test_no_token_is_chosen_from_what_is_no_number(sampling: Sampling | None) -> None:
    logits = LOGITS[None].clone()
    logits[0, 0, 2] = torch.nan
    with pytest.raises(ModelError, match="NaN in place of answers"):
        how_to_choose([context("a")], sampling)(logits, [[0]])
