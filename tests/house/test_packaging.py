"""What a person installs: the wheel, its metadata, and the pinned versions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import finesight

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

READ_THE_STARTER = """
import finesight
from finesight.recipe.builtin import find_recipe
from finesight.recipe.reading import read_recipe
print(finesight.__file__)
print(read_recipe(find_recipe("starter")).recipe.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def distribution(wheel: Path) -> PathDistribution:
    return PathDistribution(zipfile.Path(wheel) / f"finesight-{finesight.__version__}.dist-info")


def test_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert packed == {path.relative_to(SOURCE).as_posix() for path in files}
    assert {"finesight/recipes/starter.yaml", "finesight/report/templates/report.html.j2"} <= packed


def test_wheel_finds_its_recipes_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    outcome = subprocess.run(
        [sys.executable, "-c", READ_THE_STARTER],
        cwd=empty, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.stdout.splitlines() == [str(installed / "finesight" / "__init__.py"), "starter"], outcome.stderr


def test_metadata_names_extras_command_and_licence(distribution: PathDistribution) -> None:
    extras = set(distribution.metadata.get_all("Provides-Extra") or ())
    assert extras == {"quantize", "captions", "serve", "track", "deepspeed", "svg", "lemmas", "dev"}
    assert [(entry.group, entry.name) for entry in distribution.entry_points] == [("console_scripts", "finesight")]
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (distribution.read_text("licenses/LICENSE") or "")


def test_torchvision_is_required_by_nothing(distribution: PathDistribution) -> None:
    required = {canonicalize_name(Requirement(line).name) for line in distribution.requires or ()}
    assert "torch" in required
    assert "torchvision" not in required | set(pinned_versions())


def pinned_versions() -> dict[str, str]:
    """Return constraints.txt as canonical name to version; a line of another form fails the test."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if not line.startswith("#")]
    assert None not in pins
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def test_every_dependency_is_pinned_inside_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = pinned_versions()
    astray = [
        str(requirement)
        for requirement in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])
        if pins.get(canonicalize_name(requirement.name), "none") not in requirement.specifier
    ]
    assert astray == []
