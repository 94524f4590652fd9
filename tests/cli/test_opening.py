"""Tasks asked for by name: the recipe that is left measures what the whole one would, and can be read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finesight.cli.opening import choose_tasks
from finesight.errors import UserError
from finesight.recipe.reading import dump_recipe, read_recipe
from finesight.recipe.recipe import Recipe

STOPPING = {"early_stopping": {"patience_steps": 9, "metric": "eval_watched"}}
GENERAL = {"kind": "scenes", "first_scene": 900, "max_samples": 20}
EVALUATE = [
    {"name": "watched", "from": "validation"},
    {"name": "general", **GENERAL},
    {"name": "more", **GENERAL},
]


def read(folder: Path, **training: Any) -> Recipe:
    content = {
        "name": "small",
        "model": {"kind": "llava", "name_or_path": "some/model"},
        "data": {"train": [{"kind": "scenes"}]},
        **training,
        "evaluate": EVALUATE,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return read_recipe(path).recipe


@pytest.mark.parametrize(
    "training",
    [
        {"tune": {"projector": "full"}, "train": STOPPING},
        {"stages": [{"tune": {"projector": "full"}, "train": STOPPING}]},
    ],
)
def test_what_is_left_of_a_recipe_is_a_recipe(training: dict[str, Any], tmp_path: Path) -> None:
    """Even where early stopping watched a task that is left out."""
    chosen = choose_tasks(read(tmp_path, **training), ["general", "more"])
    (tmp_path / "recipe.yaml").write_text(dump_recipe(chosen), encoding="utf-8")
    assert [task.name for task in read_recipe(tmp_path / "recipe.yaml").recipe.evaluate] == ["general", "more"]


def test_a_task_that_would_draw_other_examples_alone_is_refused(tmp_path: Path) -> None:
    recipe = read(tmp_path, tune={"projector": "full"})
    with pytest.raises(UserError, match="--task more: it shares its source with general") as caught:
        choose_tasks(recipe, ["more"])
    assert caught.value.hint == "measure both: --task more --task general"


def test_without_names_the_recipe_is_as_it_was(tmp_path: Path) -> None:
    recipe = read(tmp_path, tune={"projector": "full"}, train=STOPPING)
    assert choose_tasks(recipe, []) == recipe
