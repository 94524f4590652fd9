"""Rooms that promise to do without torch keep the promise when they are imported."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

IMPORT_EACH = """
import importlib, sys
heavy = {"torch", "transformers", "peft", "accelerate"}
for name in sys.argv[1:]:
    importlib.import_module(name)
    if loaded := heavy & set(sys.modules):
        sys.exit(f"importing {name} loads {sorted(loaded)}")
"""


def torch_free_rooms() -> list[str]:
    """Return the rooms that the import contracts of pyproject.toml keep away from torch."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contracts = [contract for contract in settings["contracts"] if "torch" in contract.get("forbidden_modules", ())]
    return [room for contract in contracts for room in contract["source_modules"]]


def modules_of(room: str) -> list[str]:
    path = SOURCE.joinpath(*room.split("."))
    if not path.is_dir():
        return [room]
    files = sorted(file for file in path.rglob("*.py") if file.name != "__main__.py")
    return [".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for file in files]


def test_torch_free_rooms_load_no_torch() -> None:
    rooms = torch_free_rooms()
    assert {"finesight.cli", "finesight.report", "finesight.recipe"} <= set(rooms)
    modules = [module for room in rooms for module in modules_of(room)]
    outcome = subprocess.run([sys.executable, "-c", IMPORT_EACH, *modules], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
