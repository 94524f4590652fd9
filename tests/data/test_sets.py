"""From a recipe to its sets: disjoint by group whatever the sources are used for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from data_files import recipe, vqa_rows, vqa_source, write_json, write_parquet, write_pictures

from finesight.data.sets import read_all
from finesight.errors import DataError, UserError
from finesight.schema import Example

TASK = {"name": "held_out", "from": "test"}
NO_TEST = {"validation": 0.1, "test": 0.0}


def groups(examples: Iterable[Example]) -> set[str]:
    return {example.group for example in examples}


def general(**more: Any) -> dict[str, Any]:
    return vqa_source("general.json", **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 100)
    write_json(tmp_path / "special.json", vqa_rows(40))
    write_json(tmp_path / "general.json", vqa_rows(40, questions=3, first=50))
    return tmp_path


def test_shares_of_the_training_sources_are_set_aside_by_image(root: Path) -> None:
    sets, data = read_all(recipe({"train": [vqa_source("special.json")]}), root)
    assert [len(part) for part in (sets.train, sets.validation, sets.test)] == [64, 8, 8]
    assert not groups(sets.train) & groups(sets.validation)
    assert not groups(sets.test) & (groups(sets.train) | groups(sets.validation))
    assert data["leaks"] == []
    (task,) = sets.tasks
    assert [example.id for example in task.examples] == [example.id for example in sets.test]
    assert {example.role for example in task.examples} == {"held_out"}
    assert task.drawn_from == "test"


def test_the_same_recipe_gives_the_same_sets_and_another_seed_others(root: Path) -> None:
    data = {"train": [vqa_source("special.json")]}
    first, second, other = (read_all(recipe(data, seed=seed), root)[0] for seed in (42, 42, 7))
    assert first == second
    assert groups(first.test) != groups(other.test)


def test_replay_and_forgetting_from_one_source_are_disjoint(root: Path) -> None:
    data = {"train": [vqa_source("special.json"), general(role="replay", max_samples=50)]}
    forgetting = {"name": "general", "role": "forgetting", **general(max_samples=20, prompt="{question} Briefly.")}
    sets, told = read_all(recipe(data, [TASK, forgetting]), root)
    task = sets.tasks[1]
    assert len(task.examples) == 20
    assert task.drawn_from == "general.json"
    assert all(example.question.endswith("Briefly.") for example in task.examples)
    replay = [example for example in (*sets.train, *sets.validation) if example.role == "replay"]
    assert len(replay) == 50
    assert not groups(replay) & groups(task.examples)
    assert not any(example.question.endswith("Briefly.") for example in replay)
    assert told["leaks"] == []
    assert told["sets"]["task:general"]["by_role"] == {"forgetting": 20}


def test_replay_is_never_tested_but_watched(root: Path) -> None:
    data = {"train": [vqa_source("special.json"), general(role="replay")]}
    watched = {"name": "watched", "from": "validation"}
    sets, _ = read_all(recipe(data, [TASK, watched]), root)
    assert {example.role for example in sets.test} == {"train"}
    assert {example.role for example in sets.validation} == {"train", "replay"}
    assert {example.source for example in sets.tasks[1].examples} == {"special.json"}


def test_an_image_in_two_sources_is_never_divided(root: Path) -> None:
    write_json(root / "again.json", [row | {"question": "Else?"} for row in vqa_rows(40, questions=1)])
    sets, data = read_all(recipe({"train": [vqa_source("special.json"), vqa_source("again.json")]}), root)
    assert data["leaks"] == []
    assert len({example.source for example in sets.test}) == 2


def test_an_image_that_is_replayed_is_not_tested(root: Path) -> None:
    write_json(root / "overlap.json", vqa_rows(30, questions=1))
    data = {"train": [vqa_source("special.json"), vqa_source("overlap.json", role="replay")]}
    sets, told = read_all(recipe(data), root)
    assert told["leaks"] == []
    assert sets.test
    assert not groups(sets.test) & {example.group for example in sets.train if example.role == "replay"}


def test_test_and_validation_of_their_own(root: Path) -> None:
    data = {
        "train": [vqa_source("special.json")],
        "validation": [general(max_samples=30)],
        "test": [general(max_samples=40)],
    }
    sets, _ = read_all(recipe(data), root)
    assert [len(part) for part in (sets.train, sets.validation, sets.test)] == [80, 30, 40]
    assert not groups(sets.validation) & groups(sets.test)


def test_what_is_left_of_a_cut_group_is_used_nowhere(root: Path) -> None:
    data = {"train": [general()], "test": [general(max_samples=7)], "split": NO_TEST}
    sets, _ = read_all(recipe(data), root)
    assert len(sets.test) == 7
    assert not groups(sets.test) & (groups(sets.train) | groups(sets.validation))
    assert len(sets.train) + len(sets.validation) == 120 - 9


def test_a_task_draws_its_samples(root: Path) -> None:
    task = TASK | {"max_samples": 5}
    sets, _ = read_all(recipe({"train": [vqa_source("special.json")]}, [task]), root)
    assert len(sets.tasks[0].examples) == 5
    assert {example.id for example in sets.tasks[0].examples} <= {example.id for example in sets.test}


def test_a_task_on_the_training_set_measures_memorization_and_is_no_leak(root: Path) -> None:
    task = {"name": "memory", "from": "train", "role": "memorization", "max_samples": 10}
    sets, data = read_all(recipe({"train": [vqa_source("special.json")]}, [TASK, task]), root)
    assert sets.tasks[1].role == "memorization"
    assert groups(sets.tasks[1].examples) <= groups(sets.train)
    assert data["leaks"] == []


def test_memorization_on_another_source_is_refused(root: Path) -> None:
    task = {"name": "memory", "role": "memorization", **general()}
    with pytest.raises(UserError, match="memory measures memorization") as caught:
        read_all(recipe({"train": [vqa_source("special.json")]}, [TASK, task]), root)
    assert "from: train" in caught.value.hint


@pytest.mark.parametrize("more", [{}, {"max_samples": 10}])
def test_two_uses_that_want_everything_exclude_each_other(root: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.test and data\.train use the same source") as caught:
        read_all(recipe({"train": [general(**more)], "test": [general()]}), root)
    assert "max_samples" in caught.value.hint


def test_a_use_that_is_left_with_nothing_is_named(root: Path) -> None:
    data = {"train": [general()], "test": [general(max_samples=500)]}
    with pytest.raises(DataError, match=r"general\.json: nothing is left for data\.train"):
        read_all(recipe(data), root)


def test_uses_of_one_source_must_read_it_alike(root: Path) -> None:
    data = {"train": [general()], "test": [general(max_samples=5, columns={"answer": "question"})]}
    with pytest.raises(UserError, match="read it differently"):
        read_all(recipe(data), root)


def test_sources_of_the_same_name_are_told_apart(root: Path) -> None:
    write_json(root / "a" / "rows.json", vqa_rows(10))
    write_json(root / "b" / "rows.json", vqa_rows(10, first=20))
    write_parquet(root / "rows.parquet", vqa_rows(10, first=60))
    sources = [vqa_source("a/rows.json"), vqa_source("b/rows.json"), {"kind": "vqa_parquet", "dataset": "rows.parquet"}]
    sets, data = read_all(recipe({"train": sources}), root)
    examples = (*sets.train, *sets.validation, *sets.test)
    assert len({example.id for example in examples}) == len(examples) == 60
    assert set(data["sets"]["train"]["by_source"]) == {"rows.json", "rows.json (2)", "rows.parquet"}


def test_a_name_that_a_recipe_gives_is_no_other_sources(root: Path) -> None:
    data = {"train": [vqa_source("special.json"), general(name="special.json")], "split": {"validation": 0, "test": 0}}
    sets, _ = read_all(recipe(data, [{"name": "reported", "kind": "scenes"}]), root)
    assert {example.source: example.id.split(":")[0] for example in sets.train} == {
        "special.json (2)": "special",
        "special.json": "general",
    }


def test_a_source_called_test_is_not_taken_for_the_test_set(root: Path) -> None:
    write_parquet(root / "test" / "0.parquet", vqa_rows(40))
    task = {"name": "own", "kind": "vqa_parquet", "dataset": "test"}
    sets, data = read_all(recipe({"train": [vqa_source("special.json")]}, [task]), root)
    assert sets.tasks[0].drawn_from not in ("train", "validation", "test")
    assert data["leaks"][0]["evaluation_set"] == "own"


def test_the_faults_of_all_sources_are_named_at_once(root: Path) -> None:
    write_json(root / "special.json", [{"image": "0.png", "question": "What?", "answer": ""}])
    write_json(root / "general.json", [])
    with pytest.raises(DataError) as caught:
        read_all(recipe({"train": [vqa_source("special.json")], "test": [general()]}), root)
    assert "special.json: no answer: 1 row (row 1)" in caught.value.message
    assert "general.json: the file holds no rows" in caught.value.message


def test_empty_sets_are_refused(root: Path) -> None:
    train = [vqa_source("special.json")]
    with pytest.raises(DataError, match="the task held_out has no examples") as caught:
        read_all(recipe({"train": train, "split": NO_TEST}), root)
    assert "data.split.test" in caught.value.hint
    assert "replay" not in str(caught.value), "there is none"
    stopping = {"train": {"early_stopping": {"patience_steps": 5}}}
    with pytest.raises(DataError, match="needs a validation set"):
        read_all(recipe({"train": train, "split": {"validation": 0.0, "test": 0.1}}, **stopping), root)


def test_groups_too_few_to_divide_are_counted(root: Path) -> None:
    write_json(root / "special.json", vqa_rows(1))
    with pytest.raises(DataError) as caught:
        read_all(recipe({"train": [vqa_source("special.json")]}), root)
    assert "the test set holds none, because 2 examples form 1 group, and" in caught.value.message
    assert "replay" not in str(caught.value)
    assert "data.split.look_alikes: false" in caught.value.hint


def test_data_json_says_what_was_read(root: Path) -> None:
    rows = [row | {"kind": "CLOSED" if place % 2 else "OPEN"} for place, row in enumerate(vqa_rows(40))]
    write_json(root / "special.json", rows)
    source = vqa_source("special.json", columns={"answer_type": "kind"})
    _, data = read_all(recipe({"train": [source], "allow_leakage": True}), root)
    assert data["sets"]["test"] | {"top_answers": []} == {
        "examples": 8, "contexts": 4, "groups": 4, "by_source": {"special.json": 8}, "by_role": {"train": 8},
        "answer_types": {"CLOSED": 4, "OPEN": 4}, "top_answers": [],
    }  # fmt: skip
    assert [count for _, count in data["sets"]["test"]["top_answers"]] == [2, 2, 2, 2]
    assert data["dropped"] == []
    assert data["allow_leakage"] is True
