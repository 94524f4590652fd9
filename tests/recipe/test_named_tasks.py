"""The benchmarks that come with finesight: named in a recipe, filled in, and what a recipe changes is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finesight.errors import RecipeError
from finesight.recipe import named_tasks as module
from finesight.recipe.named_tasks import changed_fields, named_tasks
from finesight.recipe.reading import dump_recipe, read_recipe
from finesight.recipe.recipe import Recipe

NAMES = [name for name, _ in named_tasks()]


def read(folder: Path, *tasks: dict[str, Any]) -> Recipe:
    content = {
        "name": "trial",
        "model": {"kind": "llava", "name_or_path": "model"},
        "data": {"train": [{"kind": "scenes"}]},
        "tune": {"language": "full"},
        "evaluate": list(tasks),
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return read_recipe(file).recipe


def changed(recipe: Recipe) -> list[str]:
    (task,) = recipe.model_dump(mode="json", by_alias=True)["evaluate"]
    return changed_fields(task)


def test_the_reports_benchmarks_are_there_and_say_what_they_are() -> None:
    assert {"gqa-ru", "mmbench-ru", "vqav2", "vqa-rad", "coco-captions", "svg-captions"} <= set(NAMES)
    assert all(told.endswith(".") or told for _, told in named_tasks())


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_all_that_a_recipe_needs(name: str, tmp_path: Path) -> None:
    recipe = read(tmp_path, {"task": name})
    (task,) = recipe.evaluate
    assert (task.name, task.task, task.task_version) == (name, name, 1)
    assert changed(recipe) == []
    (tmp_path / "kept.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    kept = read_recipe(tmp_path / "kept.yaml").recipe
    assert kept == recipe
    assert changed(kept) == []


def test_what_a_recipe_says_itself_stays_and_is_told(tmp_path: Path) -> None:
    own = {"task": "gqa-ru", "name": "gqa", "max_samples": 100, "max_new_tokens": 20}
    recipe = read(tmp_path, own)
    (task,) = recipe.evaluate
    assert (task.name, task.max_samples, task.max_new_tokens) == ("gqa", 100, 20)
    assert changed(recipe) == ["max_new_tokens"]
    full = read(tmp_path, {"task": "gqa-ru", "columns": {"answer": "fullAnswer"}})
    assert changed(full) == ["columns"]
    columns = full.model_dump()["evaluate"][0]["columns"]
    assert (columns["answer"], columns["image"]) == ("fullAnswer", "imageId")
    assert changed(read(tmp_path, {"kind": "scenes", "name": "own"})) == []


def test_a_kept_recipe_of_an_earlier_version_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dump_recipe(read(tmp_path, {"task": "gqa-ru"}))
    newer = tmp_path / "tasks"
    newer.mkdir()
    (newer / "gqa-ru.yaml").write_text("version: 2\nkind: scenes\nmetric: exact_match\n", encoding="utf-8")
    monkeypatch.setattr(module, "_folder", lambda: newer)
    (tmp_path / "kept.yaml").write_text(kept, encoding="utf-8")
    recipe = read_recipe(tmp_path / "kept.yaml").recipe
    assert (recipe.evaluate[0].task_version, recipe.evaluate[0].metric) == (1, "gqa_ru")
    assert changed(recipe) == []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"task": "gqa-rus"}, "evaluate.0.task: there is no task gqa-rus (hint: did you mean gqa-ru?)"),
        ({"task": "../recipes/starter"}, "there is no task ../recipes/starter (hint: the tasks are coco-captions, "),
        ({"task": 7}, "there is no task 7"),
        ({"task": "gqa-ru", "max_new_token": 3}, "no such field here (hint: did you mean `max_new_tokens`?)"),
    ],
)
def test_a_fault_is_told_at_its_line(entry: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        read(tmp_path, entry)
    assert told in str(refused.value)
