"""An evaluation goes on where memory runs out, in smaller batches, and gives the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from finesight.errors import UserError
from finesight.evaluate.budget import DEFAULT_TOKENS, MOST_TOKENS, SHARE_OF_FREE, TokenBudget, tokens_that_fit
from finesight.evaluate.engine import Engine
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.schema import Example, Prediction

NEW_TOKENS = 3
ANSWERS = [
    pytest.param(lambda engine, questions: engine.answer(questions, max_new_tokens=NEW_TOKENS), id="written"),
    pytest.param(lambda engine, questions: engine.choose(questions), id="chosen"),
]
Answer = Callable[[Engine, Sequence[Encoded]], Iterator[list[Prediction]]]


@pytest.fixture(scope="module")
def loaded(make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]) -> Loaded:
    return enliven(make_model("siglip_vision_model", "llama"))


@pytest.fixture(scope="module")
def questions(loaded: Loaded, examples: tuple[Example, ...]) -> list[Encoded]:
    """The seven questions and as many more, each with options."""
    asked = [
        replace(example, id=f"{example.id}{turn}", choices=("red", "dark blue", "seven"))
        for turn in "ab"
        for example in examples
    ]
    return [loaded.formatter.encode(example, answered=False) for example in asked]


@contextmanager
def room_for(loaded: Loaded, tokens: int) -> Iterator[list[int]]:
    """Let the model run out of memory with more than so many tokens; give the sizes of all batches, tried or done."""
    sizes: list[int] = []

    def look(model: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        if "logits_to_keep" not in named:
            return  # a step that adds a token to each answer
        size = named["input_ids"].numel()
        sizes.append(size)
        if size > tokens:
            raise torch.OutOfMemoryError("injected")

    hook = loaded.model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def collect(batches: Iterator[list[Prediction]]) -> dict[str, Prediction]:
    return {prediction.id: prediction for batch in batches for prediction in batch}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("room", [600, 200, 90])
def test_a_batch_that_does_not_fit_is_halved_for_good(
    loaded: Loaded, questions: list[Encoded], answer: Answer, room: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = collect(answer(Engine(loaded, 4096), questions))
    engine = Engine(loaded, 4096)
    with room_for(loaded, room) as sizes:
        assert collect(answer(engine, questions)) == expected
        tried = len(sizes)
        assert collect(answer(engine, questions)) == expected, "the next task begins where this one ended"
    too_large = [size for size in sizes if size > room]
    assert 0 < len(too_large) <= 7
    assert sizes.index(too_large[-1]) == len(too_large) - 1, "the largest come first"
    assert max(sizes[tried:]) <= room
    told = capsys.readouterr().err
    assert told.count("memory ran out with ") == len(too_large)


@pytest.mark.parametrize("answer", ANSWERS)
def test_one_context_is_halved_by_its_branches(loaded: Loaded, questions: list[Encoded], answer: Answer) -> None:
    about_one = [single for single in questions if single.branches[0].example.group == "plain-200-20-20"]
    expected = collect(answer(Engine(loaded, 4096), about_one))
    assert len(expected) == 6
    with room_for(loaded, 90) as sizes:
        assert collect(answer(Engine(loaded, 4096), about_one)) == expected
    assert sizes[0] > 90 >= sizes[-1]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_question_that_does_not_fit_alone_is_named(loaded: Loaded, questions: list[Encoded], answer: Answer) -> None:
    with room_for(loaded, 0), pytest.raises(UserError) as refused:
        collect(answer(Engine(loaded, 4096), questions[:1]))
    assert refused.value.message.startswith("memory ran out with a single question, 1a: ")
    assert "a smaller model" in refused.value.hint


def test_other_errors_are_not_taken_for_a_lack_of_memory(loaded: Loaded, questions: list[Encoded]) -> None:
    def fail(rows: Sequence[Encoded]) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(TokenBudget(4096, loaded.device).work_through(questions, fail))


# How much fits.


def test_without_a_measurement_the_budget_is_a_fixed_one(loaded: Loaded, questions: list[Encoded]) -> None:
    worked: list[int] = []
    fits = tokens_that_fit(questions, worked.append, reserve=0, device=torch.device("cpu"))  # type: ignore[arg-type]
    assert (fits, worked) == (DEFAULT_TOKENS, [])
    engine = Engine(loaded)
    assert collect(engine.answer(questions, max_new_tokens=2)) == collect(
        Engine(loaded, DEFAULT_TOKENS).answer(questions, max_new_tokens=2)
    )


@pytest.mark.parametrize(
    ("free", "fits"), [(2**20, int(SHARE_OF_FREE * (2**20 + 4096) / 40)), (2**40, MOST_TOKENS), (0, 71)]
)
def test_on_a_gpu_the_dearest_token_is_measured(
    questions: list[Encoded], monkeypatch: pytest.MonkeyPatch, free: int, fits: int
) -> None:
    # A stand-in for the device: a row costs 30 bytes a token, and 10 more in the longest.
    held = {"peak": 0}
    longest = max(single.tokens for single in questions)

    def work(rows: Sequence[Encoded]) -> None:
        (row,) = rows
        held["peak"] = 1000 + row.tokens * (40 if row.tokens == longest else 30)

    for name, answer in {
        "mem_get_info": lambda device: (free, 2**41),
        "memory_allocated": lambda device: 1000,
        "memory_reserved": lambda device: 1000 + 4096,
        "max_memory_allocated": lambda device: held["peak"],
        "reset_peak_memory_stats": lambda device: held.update(peak=0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    assert tokens_that_fit(questions, work, reserve=0, device=torch.device("cuda")) == fits
