"""The command line inside this process, so that torch is imported once, and small data to run it on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from small_runs import Ended, Finesight, WriteRecipe, recipe_text, write_questions


@pytest.fixture
def finesight(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Finesight:
    """Runs the command line in this process."""
    from finesight.cli.main import main

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["finesight", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = capfd.readouterr()
        return Ended(end.value.code or 0, told.out, told.err)

    return call


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Writes the small recipe as `recipe.yaml`, with some sections replaced."""

    def write(**sections: Any) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe_text(sections), encoding="utf-8")
        return path

    return write


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A folder `data` with twelve pictures and two questions about each, in `train.json`."""
    return write_questions(tmp_path / "data")
