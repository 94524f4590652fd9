"""Whether a run that goes on is still the run that was begun: its recipe, its data, what computes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finesight.data.fingerprints import Fingerprints, differences
from finesight.environment import describe_environment
from finesight.errors import DataError, UserError, command_line
from finesight.recipe.recipe import Recipe
from finesight.rundir import RECIPE_FILE, RunDir
from finesight.runtime import say

_MOST_NAMED = 5


def describe_beginning(recipe: Recipe, fingerprints: Fingerprints) -> dict[str, Any]:
    """Return what environment.json keeps of recipe and data, to tell later whether somebody has changed them."""
    return {"fingerprints": fingerprints, "recipe": recipe.model_dump(mode="json")}


def require_comparable(run: RunDir) -> None:
    """Raise `UserError` for a run that was begun by an earlier finesight, which did not note what its data were."""
    if "recipe" not in run.load("environment"):
        raise UserError(
            f"{run.path}: begun by an earlier finesight, which did not note what its data were",
            hint=f"begin another run with `{_begin_anew(run)}`",
        )


def _begin_anew(run: RunDir) -> str:
    return command_line("run", run.path / RECIPE_FILE, "--data-root", run.data_root)


def compare_with_beginning(run: RunDir, fingerprints: Fingerprints) -> None:
    """Say what of the recipe and of what computes is not as it was when the run began; nothing for a new run.

    Raises `DataError` when the data are others: their order is that of the steps already taken.
    """
    if not run.has_begun:
        return
    began = run.load("environment")
    if changed := differences(began["fingerprints"], fingerprints):
        raise DataError(
            f"{run.path}: the data are not those that the run began with: {_first(changed)}",
            hint=f"another run begins with `{_begin_anew(run)}`; for this one, restore them",
        )
    for words in _changes(began["packages"], describe_environment()["packages"]):
        say(f"warning: since the run began, {words}: losses may differ from those of a run without a stop")
    for words in _changes(_flat(began["recipe"]), _flat(run.recipe.model_dump(mode="json"))):
        say(f"warning: recipe.yaml was changed since the run began, {words}: steps already taken followed the old one")


def _changes(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*earlier, *now)):
        if earlier.get(name) != now.get(name):
            yield f"{name}: {earlier.get(name, 'none')} → {now.get(name, 'none')}"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested sections by their dotted names; a list is one leaf."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _first(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
