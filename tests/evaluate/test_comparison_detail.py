"""What a comparison's page shows beside the scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_making import new_run, record, records

from finesight.evaluate.comparison import compare, compare_answers
from finesight.evaluate.comparison_detail import detail, judged_answers, picture_folders
from finesight.evaluate.contenders import open_contenders
from finesight.rundir import RunDir, append_lines


def run_with(path: Path, right: list[bool], *also: str) -> RunDir:
    run = new_run(path, [{"name": "held_out", "from": "test", "also": list(also)}])
    run.append_records("after", "held_out", records(right))
    return run


def test_every_metric_of_any_recipe_is_shown_or_told_why_not(tmp_path: Path) -> None:
    a = run_with(tmp_path / "a", [True, False] * 10, "token_f1", "exact_match")
    b = run_with(tmp_path / "b", [True] * 20, "perplexity", "token_f1")
    (task,) = detail(compare_answers([str(a.path), str(b.path)]))["tasks"]
    (beside,) = task["also"]
    assert beside["metric"] == "token_f1"
    assert {name: score["score"] for name, score in beside["scores"].items()} == {"a": 0.5, "b": 1.0}
    assert beside["differences"]["b"]["estimate"] == 0.5
    assert list(task["also_left_out"]) == ["perplexity"]
    assert "do not say how likely" in task["also_left_out"]["perplexity"]


def test_the_detail_is_plain_json_and_leaves_the_comparison_as_it_was(tmp_path: Path) -> None:
    named = [str(run_with(tmp_path / name, [True, False] * 10, "token_f1").path) for name in "ab"]
    compared = compare_answers(named)
    detailed = detail(compared)
    json.dumps(detailed, allow_nan=False)
    assert compared.content == compare(named)
    assert "by" not in compared.content["tasks"][0]
    assert detailed["tasks"][0]["outcomes"]["a"]["right"] == 10


def test_answers_come_in_the_order_of_the_first_with_what_became_of_them(tmp_path: Path) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    append_lines(a, (record(number, "yes").to_json() for number in range(20)))
    append_lines(b, (record(number, "it is yes").to_json() for number in reversed(range(20))))
    answers = judged_answers(compare_answers([str(a), str(b)]))["predictions"]
    assert [each.record.id for each in answers["b.jsonl"]] == [str(number) for number in range(20)]
    assert {(each.score, each.outcome) for each in answers["a.jsonl"]} == {(1.0, "right")}
    assert {(each.score, each.outcome) for each in answers["b.jsonl"]} == {(0.0, "other_format")}


def test_pictures_lie_in_the_run_or_beside_the_file(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", [True] * 4)
    alone = tmp_path / "alone.jsonl"
    append_lines(alone, (record(number, "yes").to_json() for number in range(4)))
    inside = run.records_file("after", "held_out")
    folders = picture_folders(open_contenders([str(run.path), str(inside), str(alone)]))
    assert list(folders.values()) == [run.path, run.path.resolve(), tmp_path.resolve()]


@pytest.mark.parametrize(("groups", "warned"), [(10, True), (40, False)])
def test_few_groups_are_warned_of_and_verdicts_told(tmp_path: Path, groups: int, warned: bool) -> None:
    for name, said in (("a", "no"), ("b", "yes")):
        append_lines(tmp_path / f"{name}.jsonl", (record(number, said).to_json() for number in range(2 * groups)))
    comparison = compare([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])
    assert bool(comparison["warnings"]) == warned
    assert comparison["tasks"][0]["differences"]["b.jsonl"]["verdict"] == "better"
