"""Keeping images between steps and runs: prepared pixels, or the features of a frozen vision encoder."""

from __future__ import annotations

from collections.abc import Sequence

from finesight.errors import UserError
from finesight.models.image_costs import SAMPLED_IMAGES, measure_costs
from finesight.models.image_formatter import ImageFormatter
from finesight.models.image_store import KeptKind, fill_store, open_store
from finesight.models.loaded import Loaded
from finesight.recipe.model import HfModel, MoondreamModel, TextModel
from finesight.recipe.recipe import Recipe
from finesight.runtime import KeepImages, say
from finesight.schema import ImageSource


def require_keepable(choice: KeepImages, recipe: Recipe) -> None:
    """Raise `UserError` where a recipe's images cannot be kept as `choice` says."""
    if choice != "none" and isinstance(recipe.model, TextModel):
        raise UserError("a text model sees no images to keep", hint="leave --keep-images out")
    if choice != "none" and isinstance(recipe.model, MoondreamModel) and recipe.model.crops == "several":
        raise UserError(
            "images seen in crops cannot be kept", hint="set model.crops: single, or leave --keep-images out"
        )
    if choice != "none" and isinstance(recipe.model, HfModel):
        raise UserError(
            "images of a model of kind hf cannot be kept: its processor makes tensors of many shapes of them",
            hint="leave --keep-images out",
        )
    if choice == "features" and not _stay_alike(recipe):
        raise UserError(
            "features of images cannot be kept: the recipe tunes the vision encoder, and they change with it",
            hint="give --keep-images pixels, or tune.vision: frozen",
        )


def keep_images(loaded: Loaded, choice: KeepImages, recipe: Recipe, images: Sequence[ImageSource]) -> None:
    """Let the formatter take images from a store, filled with what the run needs, as `choice` says.

    `choice` is one that `require_keepable` let pass, `loaded` is as it was loaded, not tuned yet, and each image is
    given once. Raises `UserError` where the disk has no room.
    """
    if choice == "none":
        return
    if not images:
        say("there are no images to keep")
        return
    kind = _measured(loaded, images, features=_stay_alike(recipe)) if choice == "fastest" else choice
    if kind is None:
        say("nothing is kept of images: reading it would take longer")
        return
    store = open_store(loaded, kind)
    fill_store(store, loaded, images)
    assert isinstance(loaded.formatter, ImageFormatter)
    loaded.formatter.kept = store


def _stay_alike(recipe: Recipe) -> bool:
    """Return whether the vision encoder gives the same features from the first step to the last."""
    return all(stage.tune.vision == "frozen" for stage in recipe.each_stage())


def _measured(loaded: Loaded, images: Sequence[ImageSource], *, features: bool) -> KeptKind | None:
    costs = measure_costs(loaded, images[:SAMPLED_IMAGES])
    say(costs.words())
    return costs.cheapest(features=features)
