"""Recipes of captioners: what they hold, and what is refused with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finesight.errors import RecipeError, UserError
from finesight.recipe.captioners import CaptionersRecipe, CommandCaptioner, HuggingFaceCaptioner
from finesight.recipe.reading import dump_recipe, read_any_recipe, read_recipe
from finesight.rundir import RunDir

BLIP = {"kind": "huggingface", "name": "blip", "name_or_path": "some/blip"}
PROGRAM = {"kind": "command", "name": "own", "command": ["python", "caption.py"]}
PICTURES = {"name": "pictures", "kind": "scenes", "captions_per_scene": 1}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a recipe of captioners; keywords replace its sections."""

    def write_it(**sections: Any) -> Path:
        content = {"name": "table", "captioners": [BLIP, PROGRAM], "evaluate": [PICTURES], **sections}
        path = tmp_path / "captioners.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write_it


def test_a_recipe_of_captioners_is_read_and_kept_whole(write: Write, tmp_path: Path) -> None:
    recipe = read_any_recipe(write(models=[{"name": "tuned", "run": "runs/one"}]), ["captioners.0.num_beams=4"])
    assert isinstance(recipe, CaptionersRecipe)
    blip, program = recipe.captioners
    assert isinstance(blip, HuggingFaceCaptioner) and isinstance(program, CommandCaptioner)
    assert (blip.num_beams, blip.prompt, program.timeout_seconds) == (4, None, 600)
    kept = tmp_path / "kept.yaml"
    kept.write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_any_recipe(kept) == recipe


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"data": {"train": [PICTURES]}, "tune": {"language": "full"}},
            ":16: data: stands beside captioners, which are never tuned (hint: give",
        ),
        ({"captioners": []}, "captioners: is an empty list"),
        ({"captioners": [{**BLIP, "kind": "blip"}]}, "there is no kind `blip`"),
        ({"captioners": [{**PROGRAM, "command": "python caption.py"}]}, "must be a list, not `python caption.py`"),
        ({"captioners": [{**PROGRAM, "command": []}]}, "captioners.0.command: is an empty list"),
        ({"captioners": [{**PROGRAM, "timeout_seconds": 0}]}, "must be above 0, not `0`"),
        ({"captioners": [{**BLIP, "name": "majority"}]}, "finesight's own answers are named majority"),
        ({"captioners": [BLIP, BLIP]}, "two contenders have the name blip"),
        ({"models": [{"name": "blip", "run": "runs/one"}]}, "two contenders have the name blip"),
        ({"evaluate": [PICTURES, PICTURES]}, "two tasks have the name pictures"),
        ({"evaluate": [{"name": "held_out", "from": "test"}]}, "from: test is a set of a run"),
        ({"evaluate": [{**PICTURES, "context": "svg"}]}, "context: svg gives text (hint: set context: image, or both"),
        ({"evaluate": [{**PICTURES, "stop": ["."]}]}, "captioners write in their own way"),
        ({"evaluate": [{**PICTURES, "metric": "perplexity"}]}, "captioners do not say how likely"),
        ({"evaluate": [{**PICTURES, "weight": 2}]}, "what is measured is measured once"),
        ({"captioners": [{**BLIP, "promt": "a"}]}, "did you mean `prompt`?"),
    ],
)
def test_what_cannot_be_measured_is_refused(write: Write, sections: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_any_recipe(write(**sections))
    assert told in str(refused.value)


def test_it_is_no_recipe_to_train_with(write: Write) -> None:
    path = write()
    with pytest.raises(UserError, match="measured and never tuned") as refused:
        read_recipe(path)
    assert f"finesight evaluate {path}" in refused.value.hint


def test_a_drawing_both_ways_is_for_captioners_alone(tmp_path: Path) -> None:
    content = {
        "name": "run",
        "model": {"kind": "text", "name_or_path": "model"},
        "data": {"train": [{"kind": "svg_captions", "file": "train.json", "context": "both"}]},
        "tune": {"language": "full"},
        "evaluate": [{"name": "held_out", "from": "test"}],
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RecipeError, match="context: both is for recipes of captioners"):
        read_recipe(path)


def test_a_folder_goes_on_by_the_same_recipe_alone(write: Write, tmp_path: Path) -> None:
    recipe, folder = read_any_recipe(write()), tmp_path / "folder"
    run = RunDir.new_or_begun(recipe, folder, tmp_path)
    run.begin({"data_root": str(tmp_path)})
    assert RunDir.new_or_begun(recipe, folder, tmp_path).asked == recipe
    with pytest.raises(UserError, match="another recipe of captioners"):
        RunDir.new_or_begun(read_any_recipe(write(seed=1)), folder, tmp_path)
    with pytest.raises(UserError, match="another recipe of captioners"):
        RunDir.new_or_begun(recipe, folder, tmp_path / "elsewhere")


def test_a_folder_of_captioners_is_no_run(write: Write, tmp_path: Path) -> None:
    run = RunDir(tmp_path, read_any_recipe(write()), tmp_path)
    assert run.is_evaluation
    assert [task.name for task in run.tasks] == ["pictures"]
    with pytest.raises(UserError, match="an evaluation of captioners, and no run"):
        run.recipe  # noqa: B018
