"""The models that come with finesight: as large as they say, and as good as their record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from finesight.cli.opening import choose_tasks, open_recipe, speak
from finesight.models.load import load_model
from finesight.models.shipped import find_shipped, shipped_models, shipped_name
from finesight.recipe.builtin import find_recipe
from finesight.recipe.reading import read_recipe
from finesight.run import measure_only
from finesight.rundir import RunDir
from finesight.runtime import StopRequest

MOST_BYTES = 10_000_000
TASKS = {"starter": "general", "text-starter": "captions"}


@pytest.fixture(scope="module", params=TASKS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def record(name: str) -> dict[str, Any]:
    return read_record(name)


def read_record(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((shipped_models()[name] / "record.json").read_text("utf-8"))
    return read


def test_each_has_a_run_and_the_recipe_that_made_it(name: str) -> None:
    assert set(shipped_models()) == set(TASKS)
    made_by, tuned_by = (read_recipe(find_recipe(recipe)).recipe for recipe in (f"{name}/pretrain", name))
    assert tuned_by.model.name_or_path == shipped_name(name)
    kept = read_recipe(shipped_models()[name] / "recipe.yaml").recipe
    assert (kept.model, kept.data, kept.stages, kept.train) == (
        made_by.model,
        made_by.data,
        made_by.stages,
        made_by.train,
    )


def test_each_is_small_and_stored_in_float16(name: str) -> None:
    folder = shipped_models()[name]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MOST_BYTES
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118


def test_each_is_loaded_in_float32(name: str) -> None:
    loaded = load_model(read_recipe(find_recipe(name)).recipe.model, data_root=Path())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert 2_000_000 <= sum(parameter.numel() for parameter in loaded.model.parameters()) <= 5_000_000
    assert loaded.formatter.tokenizer.chat_template
    assert loaded.random_parts == frozenset()


def test_the_record_is_of_the_very_same_task(name: str) -> None:
    """What pretraining reports, tuning must not forget, and `evaluate` prints is one task."""
    made_by, tuned_by = (read_recipe(find_recipe(recipe)).recipe for recipe in (f"{name}/pretrain", name))
    (first,), (second,) = (
        [task for task in recipe.evaluate if task.name == TASKS[name]] for recipe in (made_by, tuned_by)
    )
    assert first.model_dump(exclude={"role"}) == second.model_dump(exclude={"role"})


@pytest.mark.parametrize("language", ["en", "ru"])
def test_each_scores_what_its_record_says(name: str, language: str, record: dict[str, Any], tmp_path: Path) -> None:
    recipe, data_root = open_recipe(name, (), None)
    asked = speak(choose_tasks(recipe, [TASKS[name]]), language)
    loaded = load_model(asked.model, data_root=data_root)
    run = RunDir.new(asked, tmp_path / "evaluation", data_root)
    with StopRequest() as stop:
        measure_only(loaded, run, measured=name, max_tokens=8192, stop=stop)
    (task,) = run.load("scores")["tasks"]
    said = record["scores"][language]
    assert task["examples"] == said["examples"]
    for predictor, score in task["scores"].items():
        # Another processor may round otherwise, and turn a very few answers.
        assert score["score"] == pytest.approx(said["scores"][predictor]["score"], abs=0.005)


def test_the_starter_can_see() -> None:
    scores = read_record("starter")["scores"]
    english, russian = scores["en"], scores["ru"]
    assert english["scores"]["model"]["score"] >= 0.90
    assert russian["scores"]["model"]["score"] >= 0.80
    by_type = {row["value"]: row["scores"]["model"]["score"] for row in english["by"]["question_type"]}
    assert len(by_type) == 8
    assert min(by_type.values()) >= 0.80
    for language in (english, russian):
        assert language["scores"]["blind"]["score"] <= 0.55
        assert language["scores"]["majority_by_question_type"]["score"] <= 0.55


def test_the_text_starter_captions_better_than_the_most_frequent_caption() -> None:
    for language, task in read_record("text-starter")["scores"].items():
        scores = task["scores"]
        assert scores["model"]["low"] > scores["majority"]["high"], language


def test_a_folder_of_that_name_wins_over_a_shipped_model(tmp_path: Path) -> None:
    from finesight.models.location import locate

    shipped = locate("finesight/starter", None, tmp_path)
    assert Path(shipped.name_or_path) == find_shipped("finesight/starter")
    own = tmp_path / "finesight" / "starter"
    own.mkdir(parents=True)
    assert Path(locate("finesight/starter", None, tmp_path).name_or_path) == own.resolve()
