"""A checkpoint's name is a folder below the data root, or a name on the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from finesight.errors import ModelError
from finesight.models.location import Location, locate


def test_a_name_of_two_words_is_on_the_hub(tmp_path: Path) -> None:
    assert locate("someone/some-model", "v2", tmp_path) == Location("someone/some-model", "v2", is_folder=False)


def test_a_folder_below_the_data_root_goes_before_the_hub(tmp_path: Path) -> None:
    (tmp_path / "someone" / "some-model").mkdir(parents=True)
    found = locate("someone/some-model", None, tmp_path)
    assert found == Location(str(tmp_path / "someone" / "some-model"), None, is_folder=True)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "someone" / "some-model").mkdir(parents=True)
    for name in ("someone/some-model", "finesight/starter"):
        with pytest.raises(ModelError, match="a folder of this machine, which has no revision v2") as caught:
            locate(name, "v2", tmp_path)
        assert "leave out revision" in caught.value.hint


def test_a_folder_where_the_command_is_started_is_not_taken_for_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shell" / "someone" / "some-model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "shell")
    with pytest.raises(ModelError, match=r"no such checkpoint folder, but .*some-model is there") as caught:
        locate("someone/some-model", None, tmp_path / "data")
    assert "relative to the data root" in caught.value.hint
    assert locate("someone/some-model", None, tmp_path / "shell").is_folder


def test_a_hub_name_keeps_the_folder_that_was_looked_for_first(tmp_path: Path) -> None:
    assert locate("someone/some-model", None, tmp_path).missing_folder == tmp_path / "someone" / "some-model"


def test_a_full_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert locate(str(tmp_path), None, Path("elsewhere")).name_or_path == str(tmp_path)


def test_what_can_only_be_a_path_is_never_asked_of_the_hub(tmp_path: Path) -> None:
    for name in ("./a/b", "a", "a/b/c", "/a/b", "~/a"):
        with pytest.raises(ModelError, match="no such checkpoint folder"):
            locate(name, None, tmp_path)


def test_a_name_of_finesights_own_is_never_asked_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="finesight/stater: no such model comes with finesight") as caught:
        locate("finesight/stater", None, tmp_path)
    assert "those that do are" in caught.value.hint
    (tmp_path / "finesight" / "stater").mkdir(parents=True)
    assert locate("finesight/stater", None, tmp_path).is_folder


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_of_either_kind_count(name: str, tmp_path: Path) -> None:
    location = locate(str(tmp_path), None, tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(ModelError, match="no weights"):
        location.require_weights()
    (tmp_path / name).touch()
    location.require_weights()
