"""Captioners side by side, as `evaluate` does them where a recipe names some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finesight.cli.output import print_json, print_rich


def names_a_recipe(typed: str) -> bool:
    """Return whether somebody means a recipe file where a run or a model could stand."""
    path = Path(typed)
    return path.suffix in (".yaml", ".yml") and path.is_file()


def require_alone(recipe: str, second: str | None) -> None:
    """Raise `UserError` when something stands behind a recipe that was named first."""
    from finesight.errors import UserError, command_line

    if second is not None:
        raise UserError(
            f"{recipe}: a recipe, where a run or a model is named",
            hint=f"a recipe of captioners stands alone ({command_line('evaluate', recipe)}); any other stands behind "
            f"what is measured ({command_line('evaluate', second, recipe)})",
        )


def refuse_beside_captioners(given: object) -> None:
    """Raise `UserError` when an option is given that a recipe of captioners has no use for."""
    from finesight.errors import UserError

    if given:
        raise UserError(
            "--task, --language and --reuse are for a model's tasks; a recipe of captioners says itself what is "
            "described, and by whom",
            hint="leave them out, and change the recipe; `kind: answers` takes answers that are there already",
        )


def evaluate_captioners(
    path: Path,
    overrides: Sequence[str] | None,
    data_root: Path | None,
    output: Path | None,
    max_tokens: int | None,
    *,
    json: bool,
) -> None:
    """Measure what a recipe of captioners names, and print the table. Raises `UserError` for another recipe."""
    from finesight.errors import FinesightError, UserError, command_line
    from finesight.recipe.captioners import CaptionersRecipe
    from finesight.recipe.reading import read_any_recipe
    from finesight.rundir import RunDir
    from finesight.runtime import StopRequest, say

    recipe = read_any_recipe(path, overrides or ())
    if not isinstance(recipe, CaptionersRecipe):
        raise UserError(
            f"{path}: a recipe that tunes a model, and names no captioners",
            hint="name what is to be measured before it: finesight evaluate RUN_OR_MODEL RECIPE",
        )
    root = (data_root or path.parent).resolve()
    if not root.is_dir():
        raise UserError(f"--data-root {data_root}: no such folder")
    folder = RunDir.new_or_begun(recipe, output, root)
    from finesight.captioning import measure_captioners

    try:
        with folder.alone(), StopRequest() as stop:
            measure_captioners(recipe, folder, max_tokens=max_tokens, stop=stop)
    except (FinesightError, KeyboardInterrupt):
        if folder.has_begun:
            say(f"What was answered is kept; go on with: {command_line('evaluate', path, '--output', folder.path)}")
        raise
    scores = folder.load("scores")
    if json:
        print_json(scores)
        return
    from finesight.report.terminal import contender_table

    print_rich(*map(contender_table, scores["tasks"]))
    print(folder.path)
