"""Every built-in recipe is planned without data, weights or network; of its language model two layers, to be quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from torch import nn

from finesight.models.load import describe_model
from finesight.models.parts import PartMap
from finesight.plan.assumed import assume_rows
from finesight.plan.plan import plan_recipe
from finesight.recipe.builtin import builtin_recipes, find_recipe
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe
from finesight.report.planning import plan_lines

LAYERS = 2
# Those in folders start from a checkpoint that a person makes first.
RECIPES = [name for name, _ in builtin_recipes() if "/" not in name]


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a cache nor a network, rows that are assumed, and two layers of a language model instead of up to 42."""

    def describe_thin(*args: Any, **settings: Any) -> tuple[nn.Module, PartMap]:
        model, parts = describe_model(*args, **settings)
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.ModuleList) and parts.part_of(f"{name}.0.weight") == "language":
                owner, _, own = name.rpartition(".")
                setattr(model.get_submodule(owner), own, module[:LAYERS])
        return model, parts

    def assume(recipe: Recipe, data_root: Path) -> object:
        return assume_rows(recipe, data_root, "nobody looked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("finesight.plan.blueprint.describe_model", describe_thin)
    monkeypatch.setattr("finesight.plan.plan.find_rows", assume)


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_planned(name: str, tmp_path: Path) -> None:
    plan = plan_recipe(read_recipe(find_recipe(name)).recipe, tmp_path, max_tokens=8192)
    assert [answer["gib"] for answer in plan["fits"]] == [16, 24, 48, 80]
    for stage in plan["stages"]:
        assert {"weights", "optimizer", "activations"} <= set(stage["training"])
        assert stage["evaluation"]["answer cache"] > 0
        assert stage["teraflops_a_step"] > 0
    assert "Rows: ASSUMED" in next(plan_lines(plan, 100))
