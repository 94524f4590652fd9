"""Two runs, or two predictions files, are compared on the same examples or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_making import TASKS, new_run, records

from finesight.errors import UserError
from finesight.evaluate.comparison import compare
from finesight.rundir import append_lines


def predictions(path: Path, right: list[bool]) -> Path:
    append_lines(path, (entry.to_json() for entry in records(right)))
    return path


def test_two_predictions_files(tmp_path: Path) -> None:
    a = predictions(tmp_path / "a.jsonl", [True, False] * 40)
    b = predictions(tmp_path / "b.jsonl", [True] * 80)
    comparison = compare([str(a), str(b)])
    assert (comparison["contenders"], comparison["left_out"]) == (["a.jsonl", "b.jsonl"], [])
    (task,) = comparison["tasks"]
    assert (task["examples"], task["groups"], task["metric"]) == (80, 40, "exact_match")
    assert {name: score["score"] for name, score in task["scores"].items()} == {"a.jsonl": 0.5, "b.jsonl": 1.0}
    assert list(task["differences"]) == ["b.jsonl"]
    assert task["differences"]["b.jsonl"]["estimate"] == 0.5
    assert (task["differences"]["b.jsonl"]["from"], task["differences"]["b.jsonl"]["to"]) == ("a.jsonl", "b.jsonl")
    json.dumps(comparison, allow_nan=False)


def test_two_runs_share_some_tasks(tmp_path: Path) -> None:
    a, b = new_run(tmp_path / "a"), new_run(tmp_path / "b", TASKS[:2])
    for run, name in ((a, "held_out"), (a, "watched"), (b, "held_out"), (b, "general")):
        run.append_records("after", name, records([True, run is b] * 10))
    comparison = compare([str(a.path), str(b.path)])
    assert [task["name"] for task in comparison["tasks"]] == ["held_out"]
    assert comparison["left_out"] == ["watched", "general"]
    assert comparison["tasks"][0]["differences"]["b"]["better"] == 10


def test_several_are_compared_with_the_first_and_corrected_together(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.append_records("before", "held_out", records([True, False] * 40))
    run.append_records("after", "held_out", records([True, True, True, False] * 20))
    captioner = predictions(tmp_path / "captioner.jsonl", [True] * 80)
    comparison = compare([f"{run.path}@before", str(run.path), str(captioner)])
    assert comparison["contenders"] == ["run@before", "run", "captioner.jsonl"]
    (task,) = comparison["tasks"]
    differences = task["differences"]
    assert {name: change["estimate"] for name, change in differences.items()} == {"run": 0.25, "captioner.jsonl": 0.5}
    smallest = min(differences.values(), key=lambda change: change["p_bootstrap"])
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p_bootstrap"])


def test_other_examples_are_refused_unless_the_common_ones_are_asked_for(tmp_path: Path) -> None:
    files = [
        str(predictions(tmp_path / f"{name}.jsonl", [True] * count))
        for name, count in (("a", 30), ("b", 20), ("c", 25))
    ]
    with pytest.raises(UserError) as refused:
        compare(files)
    assert "only in predictions in a.jsonl: 10 ids (20, 21, 22, …)" in refused.value.message
    assert refused.value.hint == "--intersect compares the examples that all have answered"
    (task,) = compare(files, intersect=True)["tasks"]
    assert (task["examples"], task["left_out"]) == (20, {"a.jsonl": 10, "b.jsonl": 0, "c.jsonl": 5})


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    a, b = new_run(tmp_path / "a"), new_run(tmp_path / "b")
    file, same = predictions(tmp_path / "a.jsonl", [True]), predictions(tmp_path / "same.jsonl", [True])
    with pytest.raises(UserError, match="a: there are no answers of after"):
        compare([str(a.path), str(b.path)])
    a.append_records("after", "held_out", records([True]))
    b.append_records("after", "watched", records([True]))
    with pytest.raises(UserError, match="no task was answered by all") as refused:
        compare([str(a.path), str(b.path)])
    assert refused.value.hint == "a has held_out; b has watched"
    with pytest.raises(UserError, match="there are no answers of blind"):
        compare([str(a.path), f"{a.path}@blind"])
    with pytest.raises(UserError, match="there is no metric unheard_of"):
        compare([str(file), str(same)], "unheard_of")
    with pytest.raises(UserError, match="named twice"):
        compare([str(file), str(file)])
    with pytest.raises(UserError, match="the same answers by two names"):
        compare([f"{a.path}/", f"{a.path}@after"])
    with pytest.raises(UserError, match="nothing to compare it with"):
        compare([str(file)])
    with pytest.raises(UserError, match="not found"):
        compare([str(file), str(tmp_path / "none.jsonl")])
    a.append_records("after", "watched", records([True]))
    b.append_records("after", "held_out", records([True]))
    with pytest.raises(UserError, match="a predictions file answers one"):
        compare([str(a.path), str(b.path), str(file)])
    other = tmp_path / "other.jsonl"
    append_lines(other, (entry.to_json() | {"id": f"x{entry.id}"} for entry in records([True])))
    with pytest.raises(UserError, match="no example was answered by all"):
        compare([str(file), str(other)], intersect=True)


def test_other_right_answers_are_refused_though_the_common_ones_are_asked_for(tmp_path: Path) -> None:
    a, b = predictions(tmp_path / "a.jsonl", [True] * 4), tmp_path / "b.jsonl"
    append_lines(b, (entry.to_json() | {"references": ["no"]} for entry in records([True] * 4)))
    with pytest.raises(UserError, match=r"4 ids \(0, 1, 2, …\) with different references"):
        compare([str(a), str(b)], intersect=True)


def test_it_does_not_matter_who_tells_the_groups(tmp_path: Path) -> None:
    a, b = predictions(tmp_path / "a.jsonl", [True, False] * 40), tmp_path / "b.jsonl"
    append_lines(b, (entry.to_json() | {"group": ""} for entry in records([True] * 80)))
    (one,) = compare([str(a), str(b)])["tasks"]
    (other,) = compare([str(b), str(a)])["tasks"]
    assert (one["groups"], one["scores"]) == (40, other["scores"]) == (other["groups"], one["scores"])
    forth, back = one["differences"]["b.jsonl"], other["differences"]["a.jsonl"]
    assert (forth["low"], forth["high"]) == pytest.approx((-back["high"], -back["low"]))


def test_few_groups_are_warned_of(tmp_path: Path) -> None:
    files = [str(predictions(tmp_path / name, [True] * 10)) for name in ("a.jsonl", "b.jsonl")]
    assert compare(files)["warnings"] == [
        "predictions: 5 groups only; intervals from so few are less sure than they look"
    ]  # fmt: skip
