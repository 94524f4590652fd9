"""`kind: hf` from a recipe to a report: a family whose questions share their image, and one whose questions do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import FROM_QUESTIONS, Finesight, WriteRecipe, read_json_lines, write_questions

from hf_making import save_hf

LORA = {"method": "lora", "r": 2}
TUNE = {"vision": "frozen", "projector": "full", "language": LORA}
TRAIN = {"max_steps": 4, "global_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 2}
FAMILIES = [
    ("qwen2_5_vl", "questions share their image"),
    ("smolvlm", "questions share their image"),
    ("paligemma", "each question is a row of its own: image and question see each other both ways"),
]


@pytest.fixture
def write_hf_recipe(write_recipe: WriteRecipe, tmp_path: Path) -> WriteRecipe:
    """Writes a recipe of a family's checkpoint on questions about pictures."""
    write_questions(tmp_path / "data")

    def write(model_type: str, **sections: object) -> Path:
        save_hf(tmp_path / "checkpoint", model_type)
        model = {"kind": "hf", "name_or_path": "checkpoint"}
        return write_recipe(model=model, data=FROM_QUESTIONS, tune=TUNE, train=TRAIN, **sections)

    return write


@pytest.mark.parametrize(("model_type", "said"), FAMILIES)
def test_a_family_is_checked_tuned_and_measured(
    model_type: str, said: str, write_hf_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path
) -> None:
    recipe = write_hf_recipe(model_type)
    checked = finesight("check", recipe)
    assert checked.code == 0, checked.stderr
    assert said in checked.stdout
    ended = finesight("run", recipe, "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["headline"]["verdict"] in ("better", "worse", "no change", "no better than guessing", "unclear")
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(("model_type", "said"), FAMILIES)
def test_a_family_rehearses(
    model_type: str, said: str, write_hf_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path
) -> None:
    ended = finesight("run", write_hf_recipe(model_type), "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert ("pictures are not split into tiles" in ended.stderr) == (model_type == "smolvlm")
    assert (tmp_path / "run" / "rehearsal" / "checkpoint" / "model.safetensors").is_file()


def test_a_checkpoint_that_is_not_here_cannot_be_rehearsed(
    write_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path
) -> None:
    recipe = write_recipe(model={"kind": "hf", "name_or_path": "someone/some-model"})
    ended = finesight("run", recipe, "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 2
    assert "none of them can be assumed" in ended.stderr
    assert "hf download someone/some-model" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("model_type", "said"), FAMILIES[1:])
def test_look_shows_the_pictures_as_they_are(
    model_type: str, said: str, write_hf_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path
) -> None:
    ended = finesight("look", write_hf_recipe(model_type), "--output", tmp_path / "look.html")
    assert ended.code == 0, ended.stderr
    page = (tmp_path / "look.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    own = "A row of its own: who sees whom in it"
    assert (own in page, "Who sees whom." in page) == ((True, False) if model_type == "paligemma" else (False, True))


def test_its_images_are_not_kept(write_hf_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path) -> None:
    ended = finesight("run", write_hf_recipe("smolvlm"), "--keep-images", "pixels", "--output", tmp_path / "run")
    assert ended.code == 2
    assert "images of a model of kind hf cannot be kept" in ended.stderr


def test_its_parameters_are_counted_without_weights(
    write_hf_recipe: WriteRecipe, finesight: Finesight, tmp_path: Path
) -> None:
    recipe = write_hf_recipe("qwen2_5_vl")
    (tmp_path / "checkpoint" / "model.safetensors").unlink()
    counted = finesight("params", recipe, "--json")
    assert counted.code == 0, counted.stderr
    (stage,) = json.loads(counted.stdout)["stages"]
    parts = {part["part"]: part for part in stage["parts"]}
    assert parts["vision"]["trainable"] == 0
    assert parts["projector"]["trainable"] > 0
    assert parts["language"]["trainable"] > 0
