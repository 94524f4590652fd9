"""Results depend on neither how many contexts go together nor their order: 1, 4 and 16 at once, and shuffled."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from record_making import new_run

from finesight.branches.contexts import join_beginnings, padded_tokens, share_contexts
from finesight.evaluate.engine import Engine
from finesight.evaluate.likelihood import with_answers
from finesight.evaluate.measure import TokenizedTask, measure
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example, Prediction, Sampling, TaskExamples, Turn

CONTEXTS, NEW_TOKENS = 16, 5
OPTIONS = ("red", "dark blue", "seven")


class Shade:
    """A picture of its own colour."""

    def __init__(self, number: int) -> None:
        self.name = f"shade-{number}"
        self._colour = (number * 16, 255 - number * 16, number * 5)

    def open(self) -> Image.Image:
        return Image.new("RGB", (32, 32), self._colour)

    def content_hash(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def loaded(make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]) -> Loaded:
    return enliven(make_model("clip_vision_model", "llama"))


@pytest.fixture(scope="module")
def asked() -> list[Example]:
    """Three questions about each of sixteen pictures."""
    questions = ("what colour is it?", "is it a square? yes or no", "how many things are there?")
    return [
        Example(
            f"{number}-{question}",
            f"shade-{number}",
            (Shade(number),),
            (Turn("user", question), Turn("assistant", "red", learned=True)),
            ("dark red",),
            choices=OPTIONS,
        )
        for number in range(CONTEXTS)
        for question in questions
    ]


Result = dict[str, object]


def written(engine: Engine, questions: Sequence[Encoded]) -> Result:
    return by_id(engine.answer(questions, max_new_tokens=NEW_TOKENS))


def drawn(engine: Engine, questions: Sequence[Encoded]) -> Result:
    return by_id(engine.answer(questions, max_new_tokens=NEW_TOKENS, sampling=Sampling(1.0, 0.9, 3)))


def stopped(engine: Engine, questions: Sequence[Encoded]) -> Result:
    return by_id(engine.answer(questions, max_new_tokens=NEW_TOKENS, stop=("e", "a")))


def chosen(engine: Engine, questions: Sequence[Encoded]) -> Result:
    return by_id(engine.choose(questions))


def weighed(engine: Engine, questions: Sequence[Encoded]) -> Result:
    scores = [score for batch in engine.score_references(questions) for score in batch]
    return {score.id: (round(score.log_likelihood, 3), score.tokens) for score in scores}


def by_id(batches: Iterator[list[Prediction]]) -> Result:
    predictions = [prediction for batch in batches for prediction in batch]
    assert len({prediction.id for prediction in predictions}) == len(predictions)
    return {prediction.id: prediction for prediction in predictions}


def budget(loaded: Loaded, questions: Sequence[Encoded], way: Callable[..., Result], together: int) -> int:
    """Return the budget with which so many contexts go through the model together."""
    if way in (written, drawn, stopped):
        return together * padded_tokens(share_contexts(questions)[:1], reserve=NEW_TOKENS)
    answers = OPTIONS if way is chosen else ("dark red",)
    (row, *_) = share_contexts(with_answers(loaded.formatter, question, answers) for question in questions)
    return together * padded_tokens([join_beginnings(row)])


@pytest.mark.parametrize("way", [written, drawn, stopped, chosen, weighed])
def test_results_depend_on_neither_batch_nor_order(
    loaded: Loaded, asked: list[Example], way: Callable[[Engine, Sequence[Encoded]], Result]
) -> None:
    questions = [loaded.formatter.encode(example, answered=False) for example in asked]
    rows: list[int] = []

    def look(model: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        if "logits_to_keep" in named:
            rows.append(len(named["input_ids"]))

    hook = loaded.model.register_forward_pre_hook(look, with_kwargs=True)
    results = []
    for together in (1, 4, 16):
        rows.clear()
        results.append(way(Engine(loaded, budget(loaded, questions, way, together)), questions))
        assert rows == [together] * (CONTEXTS // together)
        shuffled = random.Random(together).sample(questions, len(questions))
        results.append(way(Engine(loaded, budget(loaded, questions, way, together)), shuffled))
    hook.remove()
    first, *others = results
    assert len(first) == len(asked)
    assert all(other == first for other in others)
    texts = {value.text if isinstance(value, Prediction) else value for value in first.values()}
    assert len(texts) > 1, "results that are all alike prove little"


def test_thirty_questions_about_an_image_go_through_the_model_at_once(loaded: Loaded, asked: list[Example]) -> None:
    many = [replace(asked[number % 3], id=str(number)) for number in range(30)]
    questions = [loaded.formatter.encode(example, answered=False) for example in many]
    seen: list[int] = []
    vision = loaded.model.get_submodule(loaded.parts.prefixes["vision"][0])
    hook = vision.register_forward_pre_hook(lambda module, pixels, named: seen.append(1), with_kwargs=True)
    batches = list(Engine(loaded, 4096).answer(questions, max_new_tokens=NEW_TOKENS))
    hook.remove()
    assert [len(batch) for batch in batches] == [30]
    assert seen == [1]


@pytest.mark.parametrize(
    "how", [{"answer_by": "likelihood"}, {"stop": ("e",)}, {"sampling": Sampling(1.0, 0.9, 3)}], ids=str
)
def test_a_task_is_answered_as_it_says_and_goes_on_where_it_stopped(
    loaded: Loaded, asked: list[Example], tmp_path: Any, how: dict[str, Any]
) -> None:
    task = replace(TaskExamples("held_out", "held_out", "exact_match", NEW_TOKENS, tuple(asked), "test"), **how)
    tokenized = TokenizedTask(task, tuple(loaded.formatter.encode(one, answered=False) for one in asked))
    halfway = TokenizedTask(task, tokenized.questions[:20])

    def answer(run: RunDir, *parts: TokenizedTask) -> dict[str, str]:
        for part in parts:
            measure(Engine(loaded, 400), part, run, predictor="before", thumbnails={}, stop=StopRequest())
        records = run.records("before", "held_out")
        assert len(records) == len(asked)
        return {record.id: record.prediction for record in records}

    whole = answer(new_run(tmp_path / "whole"), tokenized)
    assert answer(new_run(tmp_path / "stopped"), halfway, tokenized) == whole
    expected = {"answer_by": chosen, "stop": stopped_at_e, "sampling": drawn}[next(iter(how))]
    assert whole == {
        name: prediction.text for name, prediction in expected(Engine(loaded, 4096), tokenized.questions).items()
    }


def stopped_at_e(engine: Engine, questions: Sequence[Encoded]) -> Result:
    return by_id(engine.answer(questions, max_new_tokens=NEW_TOKENS, stop=("e",)))
