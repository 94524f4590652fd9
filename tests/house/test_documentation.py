"""What a person can meet is explained: recipe fields, verbs, options, the version's changes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperGroup, TyperOption

import finesight
from finesight import recipe
from finesight.cli.main import build
from finesight.recipe.base import Spec

ROOT = Path(__file__).parents[2]


def specs_below(spec: type[Spec]) -> Iterator[type[Spec]]:
    for child in spec.__subclasses__():
        yield child
        yield from specs_below(child)


def test_every_recipe_field_has_help() -> None:
    for module in pkgutil.iter_modules(recipe.__path__):
        importlib.import_module(f"{recipe.__name__}.{module.name}")
    specs = {spec for spec in specs_below(Spec) if spec.__module__.startswith("finesight.")}
    undocumented = sorted(
        f"{spec.__name__}.{name}"
        for spec in specs
        for name, field in spec.model_fields.items()
        if not (field.description or "").strip()
    )
    assert len(specs) > 10
    assert undocumented == []


def test_every_verb_and_option_has_help() -> None:
    app = typer.main.get_command(build())
    assert isinstance(app, TyperGroup)
    verbs = {name: verb for name, verb in app.commands.items() if not verb.hidden}
    groups = {name: group for name, group in verbs.items() if isinstance(group, TyperGroup)}
    verbs |= {f"{name} {below}": verb for name, group in groups.items() for below, verb in group.commands.items()}
    silent = [name for name, verb in verbs.items() if not (verb.help or "").strip()]
    for name, verb in verbs.items():
        for parameter in verb.params:
            assert isinstance(parameter, TyperArgument | TyperOption)
            if not (parameter.help or "").strip():
                silent.append(f"{name} {parameter.name}")
    assert {"run", "svg simplify"} <= set(verbs)
    assert silent == []


def test_changelog_tells_what_this_version_brings() -> None:
    sections = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]
    changes = {section.split()[0]: section for section in sections}
    assert "\n- " in changes[finesight.__version__]
