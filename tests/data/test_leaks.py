"""Leaks: found where they are, counted as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_files import recipe, vqa_rows, vqa_source, write_json, write_pictures
from PIL import Image

from finesight.data.groups import document_of, join_groups
from finesight.data.leak_pairs import show_leaks
from finesight.data.leaks import find_leaks
from finesight.data.sets import read_all
from finesight.data.sources.drawings import DrawnImage
from finesight.errors import DataError
from finesight.schema import Example, Sets, TaskExamples, Turn
from finesight.train.checks.check import Check
from finesight.train.checks.data import check_data
from finesight.train.checks.uses import check_uses

RAD_COLUMNS = {"id": "qid", "image": "image_name", "question_type": "question_type", "answer_type": "answer_type"}


def rad(name: str) -> dict[str, Any]:
    return {"kind": "vqa_json", "file": f"data_RAD/{name}.json", "images": "data_RAD/images", "columns": RAD_COLUMNS}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 20)
    write_json(tmp_path / "train.json", vqa_rows(10))
    return tmp_path


def counted(leak: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(leak[name] for name in ("evaluation_set", "kind", "groups", "examples", "first"))


def checks_of(data: dict[str, Any], root: Path, tasks: list[dict[str, Any]] | None = None) -> dict[str, list[Check]]:
    asked = recipe(data, tasks)
    sets, told = read_all(asked, root)
    checks: dict[str, list[Check]] = {}
    for check in check_data(asked, sets, told["leaks"]):
        checks.setdefault(check.name, []).append(check)
    return checks


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
    pairs = image.pop("pairs")
    assert image == {
        "evaluation_set": "test", "learned_set": "train and validation", "kind": "same image", "groups": 2,
        "examples": 3, "share": 0.75, "first": ["copy.png = 3.png", "4.png"], "within_threshold": False,
    }  # fmt: skip
    assert [(pair["evaluated"]["name"], pair["learned"]["name"]) for pair in pairs] == [
        ("copy.png", "3.png"), ("4.png", "4.png"),
    ]  # fmt: skip
    assert pairs[0]["evaluated"]["id"] == "test:1"
    assert pairs[0]["learned"]["thumbnail"] == pairs[0]["evaluated"]["thumbnail"] != pairs[1]["learned"]["thumbnail"]
    assert (triple["kind"], triple["groups"], triple["examples"]) == ("same image, question and answer", 1, 1)
    assert triple["first"] == ["what  IS 0? → Answer 3 (copy.png)"]
    assert triple["pairs"][0]["learned"]["name"] == "What is 0? → answer 3 (3.png)"


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
    assert [counted(leak) for leak in told["leaks"]] == [("test", "same group", 1, 6, ["p0"])]


def test_text_that_stands_twice_is_never_divided(root: Path) -> None:
    rows = [{"image": None, "question": f"What is {number // 3}?", "answer": "4"} for number in range(90)]
    write_json(root / "train.json", rows)
    sets, told = read_all(recipe({"train": [vqa_source("train.json")]}), root)
    assert told["leaks"] == []
    assert sets.test and sets.validation


def test_the_published_split_of_vqa_rad_leaks(vqa_rad: Path) -> None:
    _, data = read_all(recipe({"train": [rad("trainset")], "test": [rad("testset")]}), vqa_rad)
    found = {leak["kind"]: (leak["groups"], leak["examples"]) for leak in data["leaks"]}
    assert found == {"same image": (203, 451), "same image, question and answer": (14, 14)}
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
    (leak,) = find_leaks(Sets((learned,), (), (again,), ()))
    assert counted(leak) == ("test", "same text", 1, 1, ["<svg> <circle/></svg>"])
    (pair,) = leak["pairs"]
    assert pair["evaluated"] == {"id": "3", "name": "<svg> <circle/></svg>"}


def test_questions_about_one_text_are_never_divided() -> None:
    first, second, third = join_groups([about("1", "<svg/>"), about("2", "<svg/>"), about("3", "<g/>")])
    assert first.group == second.group != third.group


def test_a_drawing_is_the_same_whether_it_is_read_or_seen() -> None:
    learned = replace(about("1", "style=fill:1,2,3\td=M0,0 L9,9"), group="drawing:abc")
    seen = DrawnImage("<svg/>", 64, "a.svg", "0" * 64)
    shown = replace(about("2", ""), group="drawing:abc", images=(seen,))
    (leak,) = find_leaks(Sets((learned,), (), (shown,), ()))
    assert counted(leak) == ("test", "same drawing", 1, 1, ["a.svg"])
    again = replace(learned, id="3")
    assert [leak["kind"] for leak in find_leaks(Sets((learned,), (), (again,), ()))] == ["same drawing"]


@pytest.fixture
def copied(shared: Path, tmp_path: Path) -> Path:
    """Photographs to learn from, and a test set of ten others and a copy of one, in half the size."""
    photographs = sorted((shared / "data" / "captions_coco").rglob("*.jpg"))[:30]
    (tmp_path / "pictures").mkdir()
    for number, file in enumerate(photographs):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(file.read_bytes())
    with Image.open(photographs[3]) as photograph:
        photograph.resize((photograph.width // 2, photograph.height // 2)).save(
            tmp_path / "pictures" / "copy.jpg", quality=60
        )
    write_json(tmp_path / "train.json", vqa_rows(20))
    row = {"image": "copy.jpg", "question": "What is on it?", "answer": "a copy"}
    write_json(tmp_path / "test.json", [*vqa_rows(10, questions=1, first=20), row])
    return tmp_path


GIVEN = {"train": [vqa_source("train.json")], "test": [vqa_source("test.json")]}


def test_a_copy_in_the_test_set_fails_the_check_and_is_shown(copied: Path) -> None:
    sets, data = read_all(recipe(GIVEN), copied)
    (leak,) = data["leaks"]
    (pair,) = leak["pairs"]
    show_leaks(sets, data["leaks"], copied / "run")
    shown = {str(path.relative_to(copied / "run")) for path in (copied / "run").rglob("*.jpg")}
    assert shown == {pair["evaluated"]["thumbnail"], pair["learned"]["thumbnail"]}
    assert counted(leak)[:4] == ("test", "look-alike image", 1, 1)
    assert leak["first"] == [f"copy.jpg ≈ 3.png (distance {pair['distance']})"]
    assert 0 <= pair["distance"] <= 6
    assert pair["evaluated"]["thumbnail"] != pair["learned"]["thumbnail"]
    (check,) = checks_of(GIVEN, copied)["leaks"]
    assert check.status == "failure"
    assert "share 1 × look-alike image (1 example of test, 9.09 %; first: copy.jpg ≈ 3.png" in check.message
    assert "leakage_threshold" in check.hint


def test_a_recipe_may_bear_with_look_alikes_but_not_with_the_same_image(copied: Path) -> None:
    (check,) = checks_of(GIVEN | {"leakage_threshold": 0.1}, copied)["leaks"]
    assert check.status == "warning"
    (check,) = checks_of(GIVEN | {"leakage_threshold": 0.09}, copied)["leaks"]
    assert check.status == "failure"
    rows = [*vqa_rows(10, questions=1, first=20), {"image": "3.png", "question": "Else?", "answer": "the same"}]
    write_json(copied / "test.json", rows)
    (check,) = checks_of(GIVEN | {"leakage_threshold": 0.5}, copied)["leaks"]
    assert check.status == "failure"


def test_where_look_alikes_are_different_pictures_none_is_looked_for(copied: Path) -> None:
    (check,) = checks_of(GIVEN | {"split": {"look_alikes": False}}, copied)["leaks"]
    assert check.status == "pass"
    assert "look-alikes were not looked for" in check.message


def test_look_alikes_are_never_divided(copied: Path) -> None:
    both = {"train": [vqa_source("train.json"), vqa_source("test.json")]}
    for seed in range(8):
        sets, data = read_all(recipe(both, seed=seed), copied)
        assert data["leaks"] == []
        home = {
            image.name: name
            for name in ("train", "validation", "test")
            for example in getattr(sets, name)
            for image in example.images
        }
        assert home["copy.jpg"] == home["3.png"]


def test_uses_of_one_source_are_counted_and_share_nothing(root: Path) -> None:
    data = {"train": [vqa_source("train.json", max_samples=10, role="replay", name="again")]}
    data["train"].append(vqa_source("other.json"))
    write_json(root / "other.json", vqa_rows(5, first=10))
    general = {"name": "general", "role": "forgetting", **vqa_source("train.json", max_samples=6)}
    (check,) = checks_of(data, root, [{"name": "held_out", "from": "test"}, general])["uses"]
    assert check.status == "pass"
    assert "train (4 replay, 1 validation, 3 general, forgetting)" in check.message


def test_a_group_in_two_uses_of_a_source_fails_the_check() -> None:
    task = TaskExamples("general", "forgetting", "exact_match", 8, (about("a:2", "text"),), "a.json")
    check = check_uses(Sets((about("a:1", "text"),), (), (), (task,)))
    assert check.status == "failure"
    assert "1 of train are also in general, forgetting" in check.message


def test_a_patient_is_found_under_whatever_name_its_group_was_joined(root: Path) -> None:
    """Patients 1 and 7 share an image, so they are one group when they are learned from; 7 is tested by another."""
    columns = {"group": "patient"}
    rows = [row | {"patient": str(1 + number)} for number, row in enumerate(vqa_rows(5, questions=1))]
    write_json(root / "learned.json", [*rows, rows[0] | {"patient": "7"}])
    write_json(root / "tested.json", [vqa_rows(1, first=15)[0] | {"patient": "7"}])
    data = {
        "train": [vqa_source("learned.json", columns=columns)],
        "test": [vqa_source("tested.json", columns=columns)],
        "split": {"validation": 0.0},
    }
    _, told = read_all(recipe(data), root)
    assert [counted(leak) for leak in told["leaks"]] == [("test", "same group", 1, 1, ["7"])]


def test_a_patient_of_two_files_is_never_divided(root: Path) -> None:
    """In the first file an image joins two patients each; in the second, those patients stand alone."""
    columns = {"group": "patient"}
    first = vqa_rows(8, questions=1)
    pairs = [row | {"patient": f"{half}{number}"} for number, row in enumerate(first) for half in "ab"]
    alone = [row | {"patient": f"b{number}"} for number, row in enumerate(vqa_rows(8, questions=1, first=10))]
    write_json(root / "pairs.json", pairs)
    write_json(root / "alone.json", alone)
    data = {"train": [vqa_source(name, columns=columns) for name in ("pairs.json", "alone.json")]}
    sets, told = read_all(recipe(data | {"split": {"validation": 0.25, "test": 0.25}}), root)
    patients = [{document_of(example) for example in part} for part in (sets.train, sets.validation, sets.test)]
    assert [len(part) for part in patients] == [8, 4, 4]
    assert told["leaks"] == []


def test_a_name_that_another_source_gave_a_group_is_no_second_use() -> None:
    """A group's own name may come from another source of the training set; that ties nothing of this one."""
    task = TaskExamples("general", "forgetting", "exact_match", 8, (about("a:2", "text"),), "a.json")
    learned = replace(about("a:1", "other text"), group=about("a:2", "text").group, group_as_read="group:else")
    assert check_uses(Sets((learned,), (), (), (task,))).status == "pass"


def test_a_verdict_on_what_chose_the_checkpoint_is_warned_of(root: Path) -> None:
    data = {"train": [vqa_source("train.json")]}
    watched = {"name": "watched", "from": "validation"}
    (check,) = checks_of(data | {"split": {"test": 0}}, root, [watched])["reported"]
    assert check.status == "warning"
    assert "the verdict is on watched, drawn from validation, which also chooses the checkpoint" in check.message
    (check,) = checks_of(data, root, [watched, {"name": "held_out", "from": "test"}])["reported"]
    assert check.status == "pass"
    with pytest.raises(ValueError, match="no held_out task is measured on a set that neither taught"):
        recipe(data, [watched])


def test_a_stratified_split_needs_kinds(root: Path) -> None:
    data = {"train": [vqa_source("train.json")], "split": {"stratify": "answer_type"}}
    with pytest.raises(DataError, match="answer_type of every example"):
        read_all(recipe(data), root)


def test_vqa_rad_is_divided_with_equal_shares_of_its_answer_types(vqa_rad: Path) -> None:
    def far_apart(stratify: str) -> float:
        sources = {"train": [rad("trainset"), rad("testset")]}
        _, data = read_all(recipe({**sources, "split": {"stratify": stratify, "look_alikes": False}}), vqa_rad)
        assert data["leaks"] == []
        kinds = [data["sets"][name]["answer_types"] for name in ("train", "validation", "test")]
        shares = [of["CLOSED"] / sum(of.values()) for of in kinds]
        return max(shares) - min(shares)

    assert far_apart("answer_type") < 0.01 < far_apart("none")
