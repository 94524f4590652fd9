"""Drawings that some models see and others read: the same items either way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finesight.data.sets import read_tasks
from finesight.data.views import as_seen, require_pictures
from finesight.errors import DataError
from finesight.recipe.evaluate import ScenesTask, SvgCaptionsTask
from finesight.schema import TaskExamples

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="{0}" height="{0}" fill="#{0}00"/></svg>'


def drawings(folder: Path, context: str) -> TaskExamples:
    rows = [{"xml": SVG.format(side), "caption": [f"a square of {side}", "a square"]} for side in (3, 4, 5)]
    (folder / "test.json").write_text(json.dumps(rows), encoding="utf-8")
    spec: Any = SvgCaptionsTask(name="drawings", kind="svg_captions", file="test.json", context=context, max_samples=2)  # type: ignore[arg-type]
    ((task,), _) = read_tasks([spec], folder, 3)
    return task


def scenes(folder: Path, context: str) -> TaskExamples:
    spec: Any = ScenesTask(name="scenes", kind="scenes", scenes=3, context=context)  # type: ignore[arg-type]
    ((task,), _) = read_tasks([spec], folder, 3)
    return task


@pytest.mark.parametrize("read", [drawings, scenes])
def test_each_gets_what_it_can_take_of_the_same_items(read: Any, tmp_path: Path) -> None:
    both = read(tmp_path, "both")
    require_pictures([both])
    assert all(example.images and example.context for example in both.examples)
    assert as_seen(both, sees_images=True) == read(tmp_path, "image")
    assert as_seen(both, sees_images=False) == read(tmp_path, "svg")


def test_what_cannot_be_seen_or_read_is_counted(tmp_path: Path) -> None:
    pictures, texts = scenes(tmp_path, "image"), scenes(tmp_path, "svg")
    with pytest.raises(
        DataError, match=r"scenes: 1[0-9] of 1[0-9] examples are pictures without text \(scenes:0-en-1, "
    ):
        as_seen(pictures, sees_images=False)
    with pytest.raises(DataError, match="examples are not about one picture"):
        require_pictures([pictures, texts])
    first = pictures.examples[0]
    talk = replace(pictures, examples=(replace(first, turns=first.turns * 2), *pictures.examples[1:]))
    with pytest.raises(DataError, match=r"1 of 1[0-9] examples are conversations \(scenes:0-en-1\)"):
        require_pictures([talk])
