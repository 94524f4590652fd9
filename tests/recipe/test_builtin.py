"""Built-in recipes are found by name, read without fault, and say what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from finesight.errors import UserError
from finesight.recipe.builtin import builtin_recipes, find_recipe, is_builtin
from finesight.recipe.reading import read_recipe


def test_every_builtin_recipe_reads_and_says_what_it_is() -> None:
    for name, about in builtin_recipes():
        path = find_recipe(name)
        assert is_builtin(path)
        assert read_recipe(path).recipe.name == name.replace("/", "-")
        assert about, f"{name}.yaml begins with no comment"


def test_a_file_is_taken_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starter").write_text("name: mine\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_recipe("starter") == Path("starter")
    assert not is_builtin(Path("starter"))


def test_neither_a_file_nor_a_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clinic.yaml").touch()
    with pytest.raises(UserError) as refused:
        find_recipe("clinik.yaml")
    assert refused.value.hint == "did you mean clinic.yaml?"
    with pytest.raises(UserError, match="no built-in recipe of that name"):
        find_recipe("../recipes/nothing")
