"""Verbs to begin with: new, list, env."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from finesight.cli.options import JsonOption
from finesight.cli.output import print_columns, print_json


def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that holds your data.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The run's name. Default: the folder's.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write. Default: <name>.yaml in FOLDER.")
    ] = None,
) -> None:
    """Write a commented recipe for a folder of data."""
    from finesight.data.describe import describe_folder
    from finesight.data.write_recipe import FILL_IN, recipe_text
    from finesight.errors import UserError
    from finesight.rundir import write_text

    name = name or _name_from(folder)
    path = output or folder / f"{name}.yaml"
    if path.exists():
        raise UserError(f"{path}: exists already, and is not overwritten", hint="name another file with --output")
    findings = describe_folder(folder)
    write_text(path, recipe_text(findings, name))
    if any(source.lacking for source in findings.sources):
        print(f"Not every column could be told: write its name where the recipe says {FILL_IN}.", file=sys.stderr)
    if path.resolve().parent != folder.resolve():
        print(f"Its paths start from the data: add --data-root {folder} to each command.", file=sys.stderr)
    print(path)


def _name_from(folder: Path) -> str:
    """Return a folder's name without what a run's name may not hold."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-_.") or "my-run"


def list_(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[WHAT]", help="kinds, tasks, metrics, recipes, models, shipped or blueprints."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List kinds of data, tasks, metrics, recipes, models.

    And the models that come with finesight, by the names that a recipe gives them, and the published ones that it knows
    without their weights.
    """
    from finesight.cli.shelves import SHELVES
    from finesight.errors import UserError, nearest_name

    if what is not None and what not in SHELVES:
        near = nearest_name(what, SHELVES)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(SHELVES)}"
        raise UserError(f"there is no list of {what}", hint=hint)
    content = {shelf: SHELVES[shelf]() for shelf in ([what] if what else SHELVES)}
    if json:
        print_json({shelf: [{"name": name, "about": about} for name, about in rows] for shelf, rows in content.items()})
        return
    for shelf, rows in content.items():
        print(shelf)
        print_columns(rows or [("none", "")])


def env(json: JsonOption = False) -> None:
    """Print versions and machine, for a bug report."""
    from finesight.cli.environment import describe_machine, in_lines

    content = describe_machine()
    if json:
        print_json(content)
    else:
        print_columns(list(in_lines(content)), indent=0)
