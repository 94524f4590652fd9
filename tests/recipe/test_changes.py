"""What is told of two recipes, and what a run that goes on goes by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finesight.recipe.builtin import builtin_recipes, find_recipe
from finesight.recipe.changes import differences, differences_beside_training, differences_in_training, in_force
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe

SMALL: dict[str, Any] = {
    "name": "small",
    "model": {"kind": "llava", "name_or_path": "models/small"},
    "data": {"train": [{"kind": "vqa_json", "file": "a.json", "images": "a"}]},
    "tune": {"language": {"method": "lora", "r": 8}},
    "train": {"max_steps": 60, "learning_rate": 1e-3},
    "evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 6}],
}


def small(**sections: Any) -> Recipe:
    return Recipe.model_validate(SMALL | sections)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({}, []),
        ({"seed": 8}, ["seed: 42 → 8"]),
        ({"train": None}, []),
        ({"tune": {"language": {"method": "lora", "r": 4}}}, ["tune.language.r: 8 → 4"]),
        (
            {"evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 4}]},
            ["evaluate.held_out.max_new_tokens: 6 → 4"],
        ),
        (
            {"data": {"train": [{"kind": "vqa_json", "file": "b.json", "images": "a"}]}},
            ["data.train.1.file: a.json → b.json"],
        ),
    ],
)
def test_what_differs_beside_training_is_told_by_field(sections: dict[str, Any], told: list[str]) -> None:
    assert differences_beside_training(small(), small(**sections)) == told


def test_a_recipe_that_was_noted_is_the_recipe() -> None:
    for name, _ in builtin_recipes():
        recipe = read_recipe(find_recipe(name)).recipe
        noted = Recipe.model_validate(json.loads(json.dumps(recipe.model_dump(mode="json"))))
        assert differences_beside_training(recipe, noted) == differences_in_training(recipe, noted) == []


def test_what_is_there_on_one_side_alone_is_told() -> None:
    assert differences({"a": 1, "b": None}, {"b": 2, "c": ["x", "y"]}) == [
        "a: 1 → none",
        "b: none → 2",
        "c: none → ['x', 'y']",
    ]


def test_a_checkpoint_holds_its_rates_and_not_its_length() -> None:
    asked = small(train={"max_steps": 40, "learning_rate": 1e-2, "weight_decay": 0.1})
    used = in_force(small(), asked, ["tune"])
    assert differences_in_training(small(), used) == ["train.max_steps: 60 → 40"]
    assert differences_in_training(used, asked) == [
        "train.learning_rate: 0.001 → 0.01",
        "train.weight_decay: 0.0 → 0.1",
    ]
    assert in_force(small(), asked, []) == asked
    assert in_force(small(), small(), ["tune"]) == small()
    assert in_force(small(train=None), small(train=None), ["tune"]) == small(train=None)


def test_a_stage_without_a_checkpoint_takes_the_new_rate() -> None:
    def staged(rate: float) -> Recipe:
        stages = [
            {"name": name, "tune": {"language": "full"}, "train": {"learning_rate": rate}} for name in ("one", "two")
        ]
        return small(tune=None, train=None, stages=stages)

    used = in_force(staged(1e-3), staged(1e-2), ["one"])
    assert [stage.train.learning_rate for stage in used.stages] == [1e-3, 1e-2]
    assert differences_in_training(staged(1e-3), used) == ["stages.two.train.learning_rate: 0.001 → 0.01"]
