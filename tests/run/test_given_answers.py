"""`kind: answers`: what a run, an evaluation or a file has said already stands in the table beside the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import Finesight, read_json_lines, whole

CAPTIONS = {
    "name": "captions", "kind": "scenes", "scenes": 6, "first_scene": 900, "questions_per_scene": 0,
    "captions_per_scene": 1, "image_size": 32, "max_new_tokens": 8,
}  # fmt: skip
PROGRAM = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "caption": "a picture"}), flush=True)
"""


def write(folder: Path, *captioners: dict[str, Any], **sections: Any) -> Path:
    """Write a recipe of captioners, and a program beside it."""
    content = {"name": "table", "captioners": captioners, "evaluate": [CAPTIONS], **sections}
    (folder / "captioners.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    (folder / "caption.py").write_text(PROGRAM, encoding="utf-8")
    return folder / "captioners.yaml"


def own() -> dict[str, Any]:
    return {"kind": "command", "name": "own", "command": [sys.executable, "caption.py"]}


def given(answers: object, name: str = "given", **settings: Any) -> dict[str, Any]:
    return {"kind": "answers", "name": name, "answers": str(answers), **settings}


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    rows = read_json_lines(folder / "evaluation" / name / "captions.jsonl")
    return sorted(rows, key=lambda row: row["id"])


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def measured(finesight: Finesight, tmp_path: Path) -> Path:
    """An evaluation of one captioner."""
    folder = tmp_path / "measured"
    ended = finesight("evaluate", write(tmp_path, own()), "--output", folder)
    assert ended.code == 0, ended.stderr
    return folder


def test_what_can_be_done_with_an_evaluation_of_captioners_is_told(
    finesight: Finesight, measured: Path, tmp_path: Path
) -> None:
    recipe = write(tmp_path, own(), given("measured@own"))
    for command, told in (
        (("evaluate", recipe, "--output", measured), f"{{kind: answers, name: own, answers: {measured}@own}}"),
        (("evaluate", recipe, "starter"), f"stands alone (finesight evaluate {recipe})"),
        (("rescore", measured), f"finesight compare {measured}@own {measured}@majority --metric "),
        (("compare", measured, f"{measured}@own"), f"name one, as {measured}@own"),
    ):
        ended = finesight(*command)
        assert ended.code == 2 and told in ended.stderr, ended.stderr


def test_answers_stand_beside_those_of_the_others(finesight: Finesight, measured: Path, tmp_path: Path) -> None:
    rows = rows_of(measured, "own")
    right = [{**row, "prediction": row["references"][0], "finish_reason": "length"} for row in rows]
    bare = [{name: row[name] for name in ("id", "prediction", "references")} for row in right]
    write_lines(tmp_path / "right.jsonl", bare[::-1])
    recipe = write(
        tmp_path, own(), given("measured@own", "stored"), given(measured / "evaluation/own/captions.jsonl", "file"),
        given("right.jsonl", "right"),
    )  # fmt: skip
    folder = tmp_path / "folder"
    ended = finesight("evaluate", recipe, "--output", folder, "--json")
    assert ended.code == 0, ended.stderr
    assert "warning" not in ended.stderr
    scores = json.loads(ended.stdout)
    (task,) = scores["tasks"]
    assert scores["warnings"] == []
    assert list(task["scores"])[:4] == ["own", "stored", "file", "right"]
    assert task["scores"]["own"] == task["scores"]["stored"] == task["scores"]["file"]
    assert task["scores"]["right"]["score"] == 1
    assert rows_of(folder, "stored") == rows_of(folder, "file") == rows
    # What a bare file does not say of an example is known here all the same.
    assert rows_of(folder, "right") == [{**row, "prediction": row["references"][0]} for row in rows]
    page = tmp_path / "page.html"
    ended = finesight("compare", f"{folder}@own", f"{folder}@right", "--html", page)
    assert (ended.code, page.is_file()) == (0, True), ended.stderr


def test_what_is_missing_or_too_much_is_counted(finesight: Finesight, measured: Path, tmp_path: Path) -> None:
    rows = rows_of(measured, "own")
    other = {**rows[0], "id": "someone else's"}
    write_lines(tmp_path / "some.jsonl", [*rows[2:], other])
    folder = tmp_path / "folder"
    ended = finesight("evaluate", write(tmp_path, own(), given("some.jsonl")), "--output", folder)
    assert ended.code == 2
    missing = f"2 ids ({rows[0]['id']}, {rows[1]['id']})"
    assert f"given: 2 of 6 examples of the task captions have no answer in {tmp_path / 'some.jsonl'}: {missing}" in (
        ended.stderr
    )
    assert "`missing: empty` counts each as an empty answer" in ended.stderr
    assert not folder.exists(), "nobody was asked"

    recipe = write(tmp_path, own(), given("some.jsonl", missing="empty"))
    ended = finesight("evaluate", recipe, "--output", folder, "--json")
    assert ended.code == 0, ended.stderr
    warnings = [
        f"given: {missing} of the 6 of captions had no answer, and count as empty answers",
        "given: 1 id (someone else's) not among the examples of captions left out",
    ]
    assert json.loads(ended.stdout)["warnings"] == warnings
    assert all(f"warning: {warning}" in ended.stderr for warning in warnings)
    assert [row["prediction"] for row in rows_of(folder, "given")] == ["", "", *["a picture"] * 4]


def test_answers_to_something_else_are_refused(finesight: Finesight, measured: Path, tmp_path: Path) -> None:
    rows = rows_of(measured, "own")
    cases = {
        "twice": ([*rows, rows[0]], f"given: 1 id ({rows[0]['id']}) of the task captions more than once"),
        "other": (
            [{**row, "references": ["something else"]} for row in rows],
            f"given: 6 ids ({', '.join(row['id'] for row in rows[:3])}, …) with other references",
        ),
        "none": ([{**row, "id": f"x{row['id']}"} for row in rows], "are the ids those of the same data?"),
        "torn": ([{"id": "1"}], ":1: without prediction and references"),
    }
    for name, (lines, said) in cases.items():
        write_lines(tmp_path / f"{name}.jsonl", lines)
        ended = finesight("evaluate", write(tmp_path, own(), given(f"{name}.jsonl", missing="empty")))
        assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    named = {
        "nowhere": "nowhere: not found",
        "measured@blip": "there are no answers of blip",
        "measured@own@own": "there are no answers of own@own",
    }
    for answers, said in named.items():
        ended = finesight("evaluate", write(tmp_path, own(), given(answers)))
        assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    renamed = [{**CAPTIONS, "name": "described"}]
    ended = finesight("evaluate", write(tmp_path, own(), given("measured@own"), evaluate=renamed))
    assert ended.code == 2
    assert "has no answers of own to a task described" in ended.stderr
    assert "it has captions; a predictions file answers a task of any name" in ended.stderr
    file = "measured/evaluation/own/captions.jsonl"
    ended = finesight("evaluate", write(tmp_path, own(), given(file), evaluate=renamed), "--output", tmp_path / "new")
    assert ended.code == 0, ended.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_a_runs_answers_to_what_it_has_learned_are_told(finesight: Finesight, tmp_path: Path) -> None:
    learned = {name: value for name, value in CAPTIONS.items() if name not in ("name", "max_new_tokens")}
    data = {
        "train": [{**learned, "scenes": 12}],
        "split": {"validation": 0.2, "test": 0.2},
        "allow_leakage": True,
    }
    train = {"max_steps": 2, "global_batch_size": 4, "learning_rate": 1e-3}
    tasks = [{"name": "held_out", "from": "test"}, CAPTIONS]
    run = whole(tmp_path, {"data": data, "train": train, "evaluate": tasks})
    recipe = write(tmp_path, own(), given("run", "tuned"), given("run@before", "untuned"))
    ended = finesight("evaluate", recipe, "--output", tmp_path / "folder", "--json")
    assert ended.code == 0, ended.stderr
    warnings = json.loads(ended.stdout)["warnings"]
    assert warnings
    assert all(warning.startswith("tuned: it has learned from ") for warning in warnings)
    for name, predictor in (("tuned", "after"), ("untuned", "before")):
        stored = {row["id"]: row["prediction"] for row in rows_of(run, predictor)}
        assert {row["id"]: row["prediction"] for row in rows_of(tmp_path / "folder", name)} == stored
