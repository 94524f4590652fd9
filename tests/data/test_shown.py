"""Rows without an image are told, and a part that learns from images is not left without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_files import recipe, vqa_rows, vqa_source, write_json, write_pictures

from finesight.data.sets import read_all
from finesight.train.checks.check import Check
from finesight.train.checks.data import check_data


def checks_of(root: Path, rows: list[dict[str, Any]], name: str, **tune: str) -> list[Check]:
    write_pictures(root, 20)
    write_json(root / "train.json", rows)
    asked = recipe({"train": [vqa_source("train.json")]}, tune=tune or {"language": "full"})
    sets, told = read_all(asked, root)
    return [check for check in check_data(asked, sets, told["leaks"]) if check.name == name]


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_rows_that_lost_their_image_are_counted_and_named(nothing: str | None, tmp_path: Path) -> None:
    rows = vqa_rows(20)
    for number in (3, 8):
        rows[number]["image"] = nothing
    (check,) = checks_of(tmp_path, rows, "contexts")
    assert check.status == "warning"
    assert "2 of 40 examples of train.json have no image" in check.message
    assert {"train:4", "train:9"} == set(check.message.split("first: ")[1].rstrip(")").split(", "))


def test_pictures_in_every_row_need_no_word(tmp_path: Path) -> None:
    assert checks_of(tmp_path, vqa_rows(20), "contexts") == []
    assert checks_of(tmp_path, vqa_rows(20), "images") == []


def test_a_part_that_is_shown_nothing_learns_nothing(tmp_path: Path) -> None:
    rows = [
        {**row, "question": f"{number}: {row['question']}", "image": None} for number, row in enumerate(vqa_rows(20))
    ]
    (check,) = checks_of(tmp_path, rows, "images", projector="full", language="full")
    assert check.status == "failure"
    assert "no training example has an image, so projector would learn nothing" in check.message
    assert checks_of(tmp_path, rows, "images") == []
