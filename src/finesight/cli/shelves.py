"""What `finesight list` shows, read from the specifications themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from finesight.evaluate.metrics.metrics import METRICS
from finesight.models.blueprint import read_blueprints
from finesight.models.shipped import shipped_models, shipped_name
from finesight.recipe.builtin import builtin_recipes
from finesight.recipe.model import Model
from finesight.recipe.named_tasks import named_tasks
from finesight.recipe.sources import AnySource
from finesight.recipe.specification import members_of, tag_of

Rows = list[tuple[str, str]]


def _specs(union: Any) -> Rows:
    """Return the kind of each member of a union, and the first line of its docstring."""
    return [(tag_of(member), str(member.__doc__).splitlines()[0]) for member in members_of(union)]


def _metrics() -> Rows:
    return [(metric.name, metric.rule) for metric in METRICS.values()]


def _shipped() -> Rows:
    """Return the models that come with finesight, as a recipe names them."""
    return [(shipped_name(name), f"made by the recipe {name}/pretrain") for name in shipped_models()]


def _blueprints() -> Rows:
    """Return the published models that are known without their weights, by each of their hub names."""
    return [(name, blueprint.about) for blueprint in read_blueprints() for name in blueprint.names]


SHELVES: Mapping[str, Callable[[], Rows]] = {
    "kinds": lambda: _specs(AnySource),
    "tasks": named_tasks,
    "metrics": _metrics,
    "recipes": builtin_recipes,
    "models": lambda: _specs(Model),
    "shipped": _shipped,
    "blueprints": _blueprints,
}
