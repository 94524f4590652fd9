"""Leaks: found where they are, counted as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_files import recipe, vqa_rows, vqa_source, write_json, write_pictures

from finesight.data.groups import join_groups
from finesight.data.leaks import find_leaks
from finesight.data.sets import read_all
from finesight.schema import Example, Sets, Turn

RAD_COLUMNS = {"id": "qid", "image": "image_name", "question_type": "question_type", "answer_type": "answer_type"}


def rad(name: str) -> dict[str, Any]:
    return {"kind": "vqa_json", "file": f"data_RAD/{name}.json", "images": "data_RAD/images", "columns": RAD_COLUMNS}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 20)
    write_json(tmp_path / "train.json", vqa_rows(10))
    return tmp_path


def test_shared_images_and_triples_are_counted(root: Path) -> None:
    shared = [
        {"image": "copy.png", "question": "what  IS 0? ", "answer": "Answer 3"},
        {"image": "3.png", "question": "What is 1?", "answer": "another"},
        {"image": "4.png", "question": "Who?", "answer": "answer 4"},
        {"image": "15.png", "question": "What is 0?", "answer": "answer 15"},
    ]
    (root / "pictures" / "copy.png").write_bytes((root / "pictures" / "3.png").read_bytes())
    write_json(root / "test.json", shared)
    _, data = read_all(recipe({"train": [vqa_source("train.json")], "test": [vqa_source("test.json")]}), root)
    image, triple = data["leaks"]
    assert image == {
        "evaluation_set": "test", "learned_set": "train and validation", "kind": "same image",
        "groups": 2, "examples": 3, "first": ["copy.png", "3.png", "4.png"],
    }  # fmt: skip
    assert (triple["kind"], triple["groups"], triple["examples"]) == ("same image, question and answer", 1, 1)
    assert triple["first"] == ["what  IS 0? → Answer 3 (copy.png)"]


def test_a_task_on_its_own_source_is_held_against_what_is_learned(root: Path) -> None:
    write_json(root / "other.json", vqa_rows(1, first=2))
    task = {"name": "general", **vqa_source("other.json")}
    _, data = read_all(recipe({"train": [vqa_source("train.json")]}, [task]), root)
    assert {(leak["evaluation_set"], leak["groups"], leak["examples"]) for leak in data["leaks"]} == {
        ("general", 1, 2),
        ("general", 2, 2),
    }


def test_validation_is_held_against_train(root: Path) -> None:
    write_json(root / "validation.json", vqa_rows(2, questions=1, first=9))
    data = {
        "train": [vqa_source("train.json")],
        "validation": [vqa_source("validation.json")],
        "split": {"test": 0.0},
    }
    _, told = read_all(
        recipe(data, [{"name": "watched", "from": "validation"}, {"name": "reported", "kind": "scenes"}]), root
    )
    assert {(leak["evaluation_set"], leak["learned_set"], leak["groups"]) for leak in told["leaks"]} == {
        ("validation", "train", 1)
    }


def test_text_without_image_leaks_too(root: Path) -> None:
    row = {"image": None, "question": "What is two and two?", "answer": "4"}
    write_json(root / "train.json", [*vqa_rows(10), row])
    write_json(root / "test.json", [row])
    data = {"train": [vqa_source("train.json")], "test": [vqa_source("test.json")], "split": {"validation": 0.0}}
    _, told = read_all(recipe(data), root)
    (leak,) = told["leaks"]
    assert leak["kind"] == "same question and answer, no image"


def test_a_patient_in_two_sources_leaks_though_no_image_does(root: Path) -> None:
    columns = {"columns": {"group": "patient"}}
    write_json(root / "train.json", [{**row, "patient": f"p{place // 4}"} for place, row in enumerate(vqa_rows(10))])
    write_json(root / "test.json", [{**row, "patient": "p0"} for row in vqa_rows(3, first=12)])
    data = {"train": [vqa_source("train.json", **columns)], "test": [vqa_source("test.json", **columns)]}
    other = {"name": "general", "role": "forgetting", **vqa_source("other.json", **columns)}
    write_json(root / "other.json", [{**row, "patient": "p0"} for row in vqa_rows(2, first=16)])
    _, told = read_all(recipe(data, [{"name": "held_out", "from": "test"}, other]), root)
    assert told["leaks"] == [
        {
            "evaluation_set": "test", "learned_set": "train and validation", "kind": "same group",
            "groups": 1, "examples": 6, "first": ["p0"],
        }
    ]  # fmt: skip


def test_text_that_stands_twice_is_never_divided(root: Path) -> None:
    rows = [{"image": None, "question": f"What is {number // 3}?", "answer": "4"} for number in range(90)]
    write_json(root / "train.json", rows)
    sets, told = read_all(recipe({"train": [vqa_source("train.json")]}), root)
    assert told["leaks"] == []
    assert sets.test and sets.validation


def test_the_published_split_of_vqa_rad_leaks(vqa_rad: Path) -> None:
    _, data = read_all(recipe({"train": [rad("trainset")], "test": [rad("testset")]}), vqa_rad)
    counted = {leak["kind"]: (leak["groups"], leak["examples"]) for leak in data["leaks"]}
    assert counted == {"same image": (203, 451), "same image, question and answer": (14, 14)}
    assert data["sets"]["test"]["answer_types"] == {"CLOSED": 272, "OPEN": 179}


def test_vqa_rad_divided_by_image_does_not_leak(vqa_rad: Path) -> None:
    sets, data = read_all(recipe({"train": [rad("trainset"), rad("testset")]}), vqa_rad)
    assert data["leaks"] == []
    assert len(sets.train) + len(sets.validation) + len(sets.test) == 3064 + 451
    assert set(data["sets"]["train"]["answer_types"]) == {"CLOSED", "OPEN"}


def about(identity: str, text: str, answer: str = "a red circle") -> Example:
    turns = (Turn("user", "Describe it."), Turn("assistant", answer, learned=True))
    return Example(identity, identity, (), turns, (answer,), context=text)


def test_a_shared_text_is_a_leak_and_equal_questions_about_others_are_none() -> None:
    learned, other = about("1", "<svg>\n<circle/></svg>"), about("2", "<svg>\n<path/></svg>")
    again = about("3", learned.context, "something else")
    assert find_leaks(Sets((learned,), (), (other,), ())) == []
    assert find_leaks(Sets((learned,), (), (again,), ())) == [
        {
            "evaluation_set": "test", "learned_set": "train and validation", "kind": "same text",
            "groups": 1, "examples": 1, "first": ["<svg> <circle/></svg>"],
        }
    ]  # fmt: skip


def test_questions_about_one_text_are_never_divided() -> None:
    first, second, third = join_groups([about("1", "<svg/>"), about("2", "<svg/>"), about("3", "<g/>")])
    assert first.group == second.group != third.group
