"""The real puzzles of ../shared: questions with options whose types are mixed, read from a file each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finesight.data.images import verify_images
from finesight.data.sources.read import read_source
from finesight.recipe.sources import ChoiceColumns, MultipleChoice

FILES, ROWS, MIXED_TYPES = 20, 400, 120
PICTURES = 367
"""Some puzzles of a file were drawn twice, and must not come into two sets."""


@pytest.fixture
def puzzles(shared: Path) -> Path:
    folder = shared / "data" / "mcq_puzzlevqa" / "PuzzleVQA" / "data"
    if not folder.is_dir():
        pytest.skip("the real puzzles, ../shared/data/mcq_puzzlevqa, are not there")
    return folder


def test_every_puzzle_is_read_and_answered_by_one_of_its_options(puzzles: Path) -> None:
    files = sorted(puzzles.glob("*.json"))
    assert len(files) == FILES
    images = []
    rows = mixed = 0
    for file in files:
        columns = ChoiceColumns(options="options")
        examples = read_source(MultipleChoice(kind="multiple_choice", file=file.name, columns=columns), puzzles)
        published = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for example, row in zip(examples, published, strict=True):
            options = dict(zip(example.letters, example.choices, strict=True))
            assert list(options.values()) == [str(option) for option in row["options"]]
            assert options[example.answer] == str(row["answer"])
            assert all(f"\n{letter}. {text}\n" in example.question for letter, text in options.items())
            mixed += any(type(option) is not type(row["answer"]) for option in row["options"])
            images.extend(example.images)
        rows += len(examples)
    assert (rows, mixed) == (ROWS, MIXED_TYPES)
    assert (len(images), len({image.content_hash() for image in images})) == (ROWS, PICTURES)
    verify_images(images)
