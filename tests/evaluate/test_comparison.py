"""Two runs, or two predictions files, are compared on the same examples or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_making import TASKS, new_run, records

from finesight.errors import DataError, UserError
from finesight.evaluate.comparison import compare
from finesight.evaluate.predictions import read_predictions
from finesight.rundir import append_lines


def predictions(path: Path, right: list[bool]) -> Path:
    append_lines(path, (entry.to_json() for entry in records(right)))
    return path


def test_two_predictions_files(tmp_path: Path) -> None:
    a = predictions(tmp_path / "a.jsonl", [True, False] * 40)
    b = predictions(tmp_path / "b.jsonl", [True] * 80)
    comparison = compare(a, b)
    assert (comparison["a"], comparison["b"], comparison["left_out"]) == ("a.jsonl", "b.jsonl", [])
    (task,) = comparison["tasks"]
    assert (task["examples"], task["groups"], task["metric"]) == (80, 40, "exact_match")
    assert (task["a"]["score"], task["b"]["score"], task["difference"]["estimate"]) == (0.5, 1.0, 0.5)
    assert (task["difference"]["from"], task["difference"]["to"]) == ("a.jsonl", "b.jsonl")
    json.dumps(comparison)


def test_two_runs_share_some_tasks(tmp_path: Path) -> None:
    a, b = new_run(tmp_path / "a"), new_run(tmp_path / "b", TASKS[:2])
    for run, name in ((a, "held_out"), (a, "watched"), (b, "held_out"), (b, "general")):
        run.append_records("after", name, records([True, run is b] * 10))
    comparison = compare(a.path, b.path)
    assert [task["name"] for task in comparison["tasks"]] == ["held_out"]
    assert comparison["left_out"] == ["watched", "general"]
    assert comparison["tasks"][0]["difference"]["better"] == 10


def test_other_examples_are_refused_unless_the_common_ones_are_asked_for(tmp_path: Path) -> None:
    a, b = predictions(tmp_path / "a.jsonl", [True] * 30), predictions(tmp_path / "b.jsonl", [True] * 20)
    with pytest.raises(UserError) as refused:
        compare(a, b)
    assert "only in predictions in a.jsonl: 10 ids (20, 21, 22, …)" in refused.value.message
    assert refused.value.hint == "--intersect compares the examples that are in both"
    (task,) = compare(a, b, intersect=True)["tasks"]
    assert (task["examples"], task["only_in_a"], task["only_in_b"]) == (20, 10, 0)


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    a, b = new_run(tmp_path / "a"), new_run(tmp_path / "b")
    file = predictions(tmp_path / "a.jsonl", [True])
    with pytest.raises(UserError, match="one is a folder, the other a file"):
        compare(a.path, file)
    with pytest.raises(UserError, match="no task was answered by both after tuning"):
        compare(a.path, b.path)
    with pytest.raises(UserError, match="there is no metric bleu"):
        compare(file, file, "bleu")
    other = tmp_path / "other.jsonl"
    append_lines(other, (entry.to_json() | {"id": f"x{entry.id}"} for entry in records([True])))
    with pytest.raises(UserError, match="no example is in both"):
        compare(file, other, intersect=True)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"id": 1, "prediction": "a", "references": ["b"]}\n{"id": 2', r":2: not JSON: "),
        ('{"id": 1, "references": ["b"]}', ":1: without prediction"),
        ("[]", ":1: not a mapping"),
        ('{"id": 1, "prediction": "a", "references": "b"}', ":1: references must be a list of texts"),
        ('{"id": 1, "prediction": "a", "references": []}', ":1: references must be a list of texts"),
        ('{"id": 1, "prediction": null, "references": ["b"]}', ":1: prediction must be text"),
        ("", ": holds no predictions"),
        ("x\n" * 9, r":5: not JSON: [^\n]*\nand 4 more lines"),
    ],
)
def test_a_predictions_file_that_cannot_be_read_names_the_lines(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=fault):
        read_predictions(path)


def test_a_predictions_file_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes('{"id": "1", "prediction": "a\u2028b\u0085", "references": ["b"]}\r\n\n'.encode())
    (record,) = read_predictions(path)
    assert record.prediction == "a\u2028b\u0085"
