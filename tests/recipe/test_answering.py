"""How a task is answered: what a recipe says of it, what it may not say, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finesight.data.sets import read_all
from finesight.errors import DataError
from finesight.recipe.evaluate import SetTask
from finesight.recipe.recipe import Recipe
from finesight.schema import Sampling, TaskExamples

HELD_OUT = {"name": "held_out", "from": "test"}


def the_task(**fields: Any) -> TaskExamples:
    recipe = Recipe.model_validate({
        "name": "trial",
        "seed": 9,
        "model": {"kind": "llava", "name_or_path": "model"},
        "data": {"train": [{"kind": "scenes", "scenes": 20, "image_size": 32}], "split": {"test": 0.3}},
        "tune": {"language": "full"},
        "evaluate": [HELD_OUT | fields],
    })  # fmt: skip
    (task,) = read_all(recipe, Path())[0].tasks
    return task


def test_an_answer_is_greedy_and_whole_unless_told_otherwise() -> None:
    task = the_task()
    assert (task.answer_by, task.stop, task.sampling) == ("generation", (), None)


def test_an_answer_is_drawn_from_the_seed_of_the_recipe_and_ends_where_told() -> None:
    task = the_task(temperature=0.7, top_p=0.9, stop=["\n", "."])
    assert task.sampling == Sampling(0.7, 0.9, 9)
    assert task.stop == ("\n", ".")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"answer_by": "likelihood", "stop": ["."]}, "no answer is written"),
        ({"answer_by": "likelihood", "temperature": 1}, "no answer is written"),
        ({"top_p": 0.9}, "top_p without a temperature changes nothing"),
        ({"stop": [""]}, "at least 1 character"),
        ({"temperature": -1}, "greater than or equal to 0"),
        ({"temperature": float("inf")}, "finite"),
        ({"temperature": 1, "top_p": 0}, "greater than 0"),
        ({"temperature": 1, "top_p": 1.1}, "less than or equal to 1"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        SetTask.model_validate(HELD_OUT | fields)


def test_questions_without_options_have_no_likeliest_one() -> None:
    with pytest.raises(DataError) as refused:
        the_task(answer_by="likelihood")
    assert refused.value.message.startswith("the task held_out is answered by likelihood, but ")
    assert "have no options to choose from (first: " in refused.value.message
    assert "answer_by: generation" in refused.value.hint
