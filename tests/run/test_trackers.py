"""Experiment trackers: they are told the recipe and the figures of metrics.jsonl, and nothing of the data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from small_runs import FROM_QUESTIONS, RECIPE, Finesight, WriteRecipe, read_json_lines

from finesight.checking import check_packages
from finesight.recipe.recipe import Recipe
from finesight.train.trackers import figures

# Their own habits, which are no faults of ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def reporting_to(*trackers: str) -> dict[str, Any]:
    return {**RECIPE["train"], "report_to": list(trackers)}


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_tracker_is_told_before_anything_is_done(
    tracker: str, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("finesight.train.trackers.find_spec", lambda name: None if name == tracker else real(name))
    ended = finesight("run", write_recipe(train=reporting_to(tracker)), "--output", tmp_path / "run")
    assert ended.code == 2
    assert f"train.report_to: {tracker} is not installed" in ended.stderr
    assert "finesight[track]" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_check_says_what_is_not_installed_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({**RECIPE, "train": reporting_to("tensorboard", "wandb")})
    monkeypatch.setattr("finesight.train.trackers.find_spec", lambda name: None)
    found = check_packages(recipe)
    assert (found.name, found.status) == ("packages", "failure")
    assert found.message == "train.report_to: tensorboard is not installed"
    assert "finesight[track]" in found.hint
    monkeypatch.setattr("finesight.train.trackers.find_spec", lambda name: name)
    assert check_packages(recipe).status == "pass"


@needs("mlflow")
def test_mlflow_wants_to_know_where_to(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ended = finesight("run", write_recipe(train=reporting_to("mlflow")), "--output", tmp_path / "run")
    assert ended.code == 2
    assert "MLFLOW_TRACKING_URI is not set" in ended.stderr


def test_a_line_becomes_figures() -> None:
    row = {"kind": "validation", "stage": "tune", "step": 4, "planned_steps": 12, "loss": 1.5,
           "loss_by_role": {"train": 1.4}, "scores": {"watched": 0.5}, "grad_norm": None}  # fmt: skip
    assert figures(row) == {"eval_loss": 1.5, "eval_loss_by_role/train": 1.4, "eval_scores/watched": 0.5}
    assert figures({**row, "kind": "train"})["loss"] == 1.5


@needs("tensorboard")
def test_tensorboard_gets_the_figures_and_the_recipe(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    assert finesight("run", write_recipe(train=reporting_to("tensorboard")), "--output", run).code == 0
    events = EventAccumulator(str(run / "trackers" / "tensorboard" / "tune")).Reload()
    rows = read_json_lines(run / "metrics.jsonl")
    for kind, name in (("train", "train/loss"), ("validation", "eval/loss")):
        told = [(event.step, event.value) for event in events.Scalars(name)]
        assert told == [(row["step"], pytest.approx(row["loss"])) for row in rows if row["kind"] == kind]
    (recipe,) = events.Tensors("recipe/text_summary")
    assert b"name: small" in recipe.tensor_proto.string_val[0]


@needs("wandb")
def test_wandb_gets_no_line_of_the_data(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    recipe = write_recipe(train=reporting_to("wandb"), data=FROM_QUESTIONS)
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    (sent,) = (run / "trackers" / "wandb").glob("offline-run-*/run-*.wandb")
    content = sent.read_bytes()
    assert b"train/loss_by_source/train.json" in content
    assert b"global_batch_size" in content
    assert b"Which shade" not in content
    assert b"shade 3" not in content
    assert not list(sent.parent.rglob("*.patch")), "the state of a repository may quote data"
    assert not list(sent.parent.rglob("output.log")), "so may the log"


@needs("mlflow")
def test_mlflow_gets_the_figures_and_the_recipe(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    place = (tmp_path / "mlflow").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = tmp_path / "run"
    assert finesight("run", write_recipe(train=reporting_to("mlflow")), "--output", run).code == 0
    client = MlflowClient(place)
    (found,) = client.search_runs([client.get_experiment_by_name("finesight").experiment_id])
    rows = [row for row in read_json_lines(run / "metrics.jsonl") if row["kind"] == "train"]
    told = client.get_metric_history(found.info.run_id, "loss")
    assert [(each.step, each.value) for each in told] == [(row["step"], row["loss"]) for row in rows]
    assert "name: small" in found.data.tags["recipe"]
