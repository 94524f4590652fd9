"""Check of the model against what is published under its name, before any of it is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finesight.models.published import fit_published
from finesight.recipe.model import Model
from finesight.train.checks.check import Check


def check_published(model: Model, data_root: Path) -> Iterator[Check]:
    """Yield a check for each checkpoint of the recipe's model that a blueprint describes; of others nothing is known.

    Every tensor of the published file has its place, and no place stays empty.
    """
    for fitted in fit_published(model, data_root):
        blueprint = fitted.blueprint
        name, described = f"tensors of {blueprint.name}", "its blueprint" if fitted.stands_in else "its configuration"
        if fitted.faults:
            yield Check(
                name,
                "failure",
                f"what is published does not fit the model that {described} describes; tensors "
                f"{'; '.join(fitted.faults)}",
                hint="is the config.json on this machine of the revision that the recipe names?",
            )
        else:
            yield Check(
                name,
                "pass",
                f"all {len(blueprint.manifest())} that are published fit the model that {described} describes",
            )
