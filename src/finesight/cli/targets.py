"""What a person wants measured or asked: a run, a model folder, a hub name, or a model that comes with finesight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finesight.cli.opening import open_recipe

if TYPE_CHECKING:
    from finesight.models.loaded import Loaded
    from finesight.recipe.model import Loading, Model
    from finesight.recipe.recipe import Recipe
    from finesight.rundir import RunDir


@dataclass(frozen=True)
class Target:
    """A model, found by what a person typed."""

    name_or_path: str
    """As a recipe would name it."""
    run: RunDir | None = None
    """The run that tuned it."""
    shipped: str | None = None
    """Its name among the models that come with finesight."""


def find_target(typed: str) -> Target:
    """Return what is meant. What exists here wins over a shipped model's name.

    Raises `UserError` for a rehearsal, whose model is a miniature, and for an evaluation, which has none.
    """
    from finesight.errors import UserError
    from finesight.models.shipped import shipped_models, shipped_name
    from finesight.rundir import RunDir

    path = Path(typed)
    if RunDir.is_at(path):
        run = RunDir.existing(path)
        if run.is_rehearsal:
            raise UserError(f"{typed}: a rehearsal, whose model is a miniature", hint="give a run")
        if run.is_evaluation:
            raise UserError(f"{typed}: an evaluation, which holds no model", hint="give the run or model itself")
        return Target(typed, run=run)
    if path.exists():
        return Target(str(path.resolve()))
    for name in shipped_models():
        if typed in (name, shipped_name(name)):
            return Target(shipped_name(name), shipped=name)
    return Target(typed)


def open_recipe_for(
    target: Target, recipe: str | None, overrides: Sequence[str] | None, data_root: Path | None
) -> tuple[Recipe, Path]:
    """Return the recipe that is asked for, else the target's own, and its data root.

    Raises `UserError` where the target has none of its own.
    """
    from finesight.errors import UserError
    from finesight.rundir import RECIPE_FILE

    if recipe is not None:
        return open_recipe(recipe, overrides, data_root)
    if target.run is not None:
        return open_recipe(str(target.run.path / RECIPE_FILE), overrides, data_root or target.run.data_root)
    if target.shipped is not None:
        return open_recipe(target.shipped, overrides, data_root)
    raise UserError("evaluate needs a RECIPE that says on what", hint="finesight evaluate RUN_OR_MODEL RECIPE")


def open_earlier(path: Path | None) -> RunDir | None:
    """Return the run or evaluation whose answers may be taken over, if one is named. Raises `UserError` where it has
    none.
    """
    from finesight.evaluate.reuse import require_answers
    from finesight.rundir import RunDir

    if path is None:
        return None
    earlier = RunDir.existing(path)
    require_answers(earlier)
    return earlier


def model_of(target: Target, recipe: Recipe) -> Model:
    """Return the model that is meant, as a recipe says it; a checkpoint is loaded as `recipe` says."""
    from finesight.recipe.model import HfModel, ImageLoading, LlavaModel, Loading, MoondreamModel, TextModel

    if target.run is not None:
        return target.run.recipe.model
    # The checkpoint is what is measured, and no earlier run that the recipe would continue.
    if isinstance(recipe.model, HfModel | MoondreamModel):
        named = {"name_or_path": target.name_or_path, "revision": None, "continue_from": None}
        return recipe.model.model_copy(update=named)
    if isinstance(recipe.model, TextModel):
        settings = {name: value for name, value in recipe.model if name in _without_continuing(Loading)}
        return TextModel(kind="text", name_or_path=target.name_or_path, **settings)
    settings = {name: value for name, value in recipe.model if name in _without_continuing(ImageLoading)}
    return LlavaModel(kind="llava", name_or_path=target.name_or_path, **settings)


def _without_continuing(spec: type[Loading]) -> set[str]:
    return set(spec.model_fields) - {"continue_from"}


def load_target(target: Target, model: Model, data_root: Path) -> Loaded:
    """Return the tuned model of a run, or the checkpoint that `model` names."""
    from finesight.models.load import load_model
    from finesight.opening import load_best, open_untuned

    if target.run is None:
        return load_model(model, data_root=data_root)
    loaded = open_untuned(target.run)
    load_best(loaded, target.run)
    return loaded
