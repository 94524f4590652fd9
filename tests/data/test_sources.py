"""The source contract: what every kind of source owes to those who use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import (
    IMAGES,
    choice_rows,
    coco_document,
    conversation_rows,
    drawing,
    vqa_rows,
    vqa_source,
    write_choice_table,
    write_joined,
    write_json,
    write_lines,
    write_parquet,
    write_pictures,
    write_plain_parquet,
    write_table,
)
from pydantic import TypeAdapter

from finesight.data.scenes.plan import plan_scene
from finesight.data.sources.read import read_source
from finesight.recipe.sources import AnySource, Source

Made = dict[str, Any]


def spec_of(words: dict[str, Any]) -> Any:
    spec: Any = TypeAdapter(AnySource).validate_python(words)
    assert isinstance(spec, Source)
    return spec


def vqa_json(root: Path) -> Made:
    write_pictures(root, 5)
    write_json(root / "rows.json", vqa_rows(5))
    return vqa_source("rows.json")


def vqa_json_lines(root: Path) -> Made:
    write_pictures(root, 5)
    write_lines(root / "rows.txt", vqa_rows(5))
    return vqa_source("rows.txt")


def llava_json(root: Path) -> Made:
    write_pictures(root, 10)
    write_json(root / "talk.json", conversation_rows(10))
    return {"kind": "llava_json", "file": "talk.json", "images": IMAGES}


def llava_parquet(root: Path) -> Made:
    write_pictures(root, 10)
    write_plain_parquet(root / "talk" / "train-00000.parquet", conversation_rows(10))
    return {"kind": "llava_json", "file": "talk", "images": IMAGES}


def llava_parquet_with_pictures(root: Path) -> Made:
    write_parquet(root / "talk.parquet", conversation_rows(10))
    return {"kind": "llava_json", "file": "talk.parquet"}


def vqa_parquet(root: Path) -> Made:
    write_parquet(root / "rows.parquet", vqa_rows(5))
    return {"kind": "vqa_parquet", "dataset": "rows.parquet"}


def vqa_parquet_raw(root: Path) -> Made:
    write_parquet(root / "rows.parquet", vqa_rows(5), raw=True)
    return {"kind": "vqa_parquet", "dataset": "rows.parquet"}


def vqa_parquet_folder(root: Path) -> Made:
    write_parquet(root / "many" / "train-00000-of-00002.parquet", vqa_rows(3))
    write_parquet(root / "many" / "train-00001-of-00002.parquet", vqa_rows(2, first=3))
    write_parquet(root / "many" / "test-00000-of-00001.parquet", vqa_rows(4, first=50))
    return {"kind": "vqa_parquet", "dataset": "many"}


def vqa_csv(root: Path) -> Made:
    write_pictures(root, 5)
    write_table(root / "rows.csv", vqa_rows(5))
    return {"kind": "vqa_csv", "file": "rows.csv", "images": IMAGES}


def vqa_tsv(root: Path) -> Made:
    write_pictures(root, 5)
    write_table(root / "rows.tsv", vqa_rows(5))
    return {"kind": "vqa_csv", "file": "rows.tsv", "images": IMAGES}


def vqa_parquet_joined(root: Path) -> Made:
    return write_joined(root / "gqa", 5)


def scenes(root: Path) -> Made:
    return {"kind": "scenes", "scenes": 5, "questions_per_scene": 2, "image_size": 32}


def coco_captions(root: Path) -> Made:
    write_pictures(root, 5)
    write_json(root / "captions.json", coco_document(images=5, captions=2))
    return {"kind": "coco_captions", "file": "captions.json", "images": IMAGES}


def svg_captions(root: Path) -> Made:
    rows = [{"xml": drawing(number), "caption": [f"Disc {number}.", f"{number} is a disc."]} for number in range(5)]
    write_json(root / "drawings.json", rows)
    return {"kind": "svg_captions", "file": "drawings.json"}


def svg_captions_shown(root: Path) -> Made:
    return {**svg_captions(root), "context": "image", "image_size": 32}


def multiple_choice(root: Path) -> Made:
    write_pictures(root, 5)
    write_json(root / "puzzles.json", choice_rows(5))
    return {"kind": "multiple_choice", "file": "puzzles.json", "images": IMAGES, "columns": {"options": "options"}}


def multiple_choice_table(root: Path) -> Made:
    write_choice_table(root / "bench.tsv", choice_rows(5))
    return {"kind": "multiple_choice", "file": "bench.tsv"}


def multiple_choice_parquet(root: Path) -> Made:
    write_parquet(root / "bench.parquet", choice_rows(5))
    return {"kind": "multiple_choice", "file": "bench.parquet", "columns": {"options": "options"}}


def python(root: Path) -> Made:
    write_pictures(root, 5)
    (root / "mine.py").write_text(f"def read():\n    yield from {vqa_rows(5)!r}\n", encoding="utf-8")
    return {"kind": "python", "file": "mine.py", "images": IMAGES}


@pytest.fixture(
    params=[
        multiple_choice,
        multiple_choice_table,
        multiple_choice_parquet,
        python,
        vqa_json,
        vqa_json_lines,
        vqa_csv,
        vqa_tsv,
        vqa_parquet_joined,
        llava_json,
        llava_parquet,
        llava_parquet_with_pictures,
        vqa_parquet,
        vqa_parquet_raw,
        vqa_parquet_folder,
        scenes,
        coco_captions,
        svg_captions,
        svg_captions_shown,
    ],
    ids=lambda make: make.__name__,
)
def make(request: pytest.FixtureRequest) -> Callable[[Path], Made]:
    made: Callable[[Path], Made] = request.param
    return made


def test_every_source_keeps_the_contract(make: Callable[[Path], Made], tmp_path: Path) -> None:
    spec = spec_of(make(tmp_path))
    examples = read_source(spec, tmp_path)
    assert len(examples) == 10
    assert len({example.id for example in examples}) == 10
    for example in examples:
        assert example.source
        assert example.group.startswith(("image:", "drawing:"))
        assert example.question
        assert example.references[0] == example.answer
        assert example.turns[-1].role == "assistant"
        assert all(turn.learned == (turn.role == "assistant") for turn in example.turns)
        for image in example.images:
            assert image.name
            assert image.open().mode == "RGB"
    groups: dict[str, str] = {}
    for example in examples:
        (shown,) = [example.context] if example.context else [image.content_hash() for image in example.images]
        assert groups.setdefault(shown, example.group) == example.group
    assert len(set(groups.values())) == len(groups)


def test_every_source_is_deterministic(make: Callable[[Path], Made], tmp_path: Path) -> None:
    spec = spec_of(make(tmp_path))
    first, second = (
        [(example.id, example.group, example.turns, [image.content_hash() for image in example.images]) for example in
         read_source(spec, tmp_path)]
        for _ in range(2)
    )  # fmt: skip
    assert first == second


def test_every_source_puts_its_questions_as_the_prompt_says(make: Callable[[Path], Made], tmp_path: Path) -> None:
    words = make(tmp_path)
    plain = read_source(spec_of(words), tmp_path)
    put = read_source(spec_of(words | {"prompt": spec_of(words).prompt + " {Be short.}"}), tmp_path)
    for one, other in zip(plain, put, strict=True):
        asked = [turn.text for turn in one.turns if turn.role == "user"]
        assert [turn.text for turn in other.turns if turn.role == "user"] == [f"{text} {{Be short.}}" for text in asked]
        assert one.references == other.references


def test_every_source_takes_its_role(make: Callable[[Path], Made], tmp_path: Path) -> None:
    examples = read_source(spec_of(make(tmp_path) | {"role": "replay"}), tmp_path)
    assert {example.role for example in examples} == {"replay"}


def test_svg_text_takes_the_place_of_the_picture() -> None:
    seen, read = (
        read_source(spec_of({"kind": "scenes", "scenes": 5, "questions_per_scene": 2, **context}), Path())
        for context in ({}, {"context": "svg"})
    )
    assert [(e.id, e.turns, e.group) for e in read] == [(e.id, e.turns, e.group) for e in seen]
    for example in read:
        assert example.images == ()
        assert example.context.startswith("style=fill:")


def test_pictures_with_more_objects_are_passed_over() -> None:
    words = {"kind": "scenes", "scenes": 30, "questions_per_scene": 1, "first_scene": 40}
    numbers = []
    for most in (1, 3, 6):
        examples = read_source(spec_of({**words, "most_objects": most}), Path())
        numbers.append([int(e.id.split(":")[1].split("-")[0]) for e in examples])
        assert len(numbers[-1]) == 30
        assert max(len(plan_scene(number).things) for number in numbers[-1]) == most
    assert numbers[-1] == list(range(40, 70))
