"""A comparison tells what each run's own tuning has kept, lost and learned, and takes it for no contest."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from page_reader import read
from rich.console import Console
from run_folder import small_recipe, write_run

from finesight.evaluate.comparison import compare, compare_answers
from finesight.evaluate.comparison_detail import detail, judged_answers, picture_folders
from finesight.report.comparison.page import write_comparison
from finesight.report.terminal import comparison_table
from finesight.rundir import RunDir
from finesight.schema import Record

ROLES = {"held_out": "held_out", "general": "forgetting", "learned": "memorization"}
EVALUATE = [
    {"name": "held_out", "from": "test"},
    {"name": "general", "kind": "vqa_parquet", "dataset": "general.parquet", "role": "forgetting"},
    {"name": "learned", "from": "train", "role": "memorization"},
]


def records(right: int, of: int = 200) -> list[Record]:
    """Return records of which the first ones are right, two to a group."""
    return [
        Record(str(number), "yes" if number < right else "no", ("yes",), group=str(number // 2)) for number in range(of)
    ]


def run_with(folder: Path, **right: tuple[int, int]) -> RunDir:
    """Write a run that had so many answers of 200 right before tuning and after it, by task."""
    run = RunDir.new(small_recipe(evaluate=EVALUATE), folder, folder.parent)
    run.begin({"data_root": str(folder.parent)})
    for task, (before, after) in right.items():
        run.append_records("before", task, records(before))
        run.append_records("after", task, records(after))
    return run


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """A run that forgot, and one that replayed."""
    runs = [
        run_with(tmp_path / "plain", held_out=(60, 150), general=(160, 100), learned=(80, 190)),
        run_with(tmp_path / "replay", held_out=(60, 150), general=(160, 160), learned=(80, 130)),
    ]
    return [str(run.path) for run in runs]


def page_of(named: list[str], page: Path) -> str:
    compared = compare_answers(named)
    write_comparison(detail(compared), judged_answers(compared), picture_folders(compared.contenders), page)
    return read(page).text.replace("\N{NO-BREAK SPACE}", " ")


def test_each_runs_own_change_is_measured_where_the_role_asks_for_it(two: list[str]) -> None:
    tasks = {task["name"]: task for task in compare(two)["tasks"]}
    assert {name: task["role"] for name, task in tasks.items()} == ROLES
    assert tasks["held_out"]["by_tuning"] == {}
    kept = tasks["general"]["by_tuning"]
    assert {name: change["estimate"] for name, change in kept.items()} == pytest.approx({"plain": -0.3, "replay": 0.0})
    assert {name: change["before"]["score"] for name, change in kept.items()} == {"plain": 0.8, "replay": 0.8}
    assert kept["plain"]["low"] < kept["plain"]["estimate"] < kept["plain"]["high"] < 0
    assert kept["replay"]["low"] == kept["replay"]["high"] == 0
    learned = tasks["learned"]["by_tuning"]
    assert {name: round(change["estimate"], 6) for name, change in learned.items()} == {"plain": 0.55, "replay": 0.25}
    json.dumps(tasks, allow_nan=False)


def test_the_page_says_what_was_kept_and_what_was_lost(two: list[str], tmp_path: Path) -> None:
    text = page_of(two, tmp_path / "page.html")
    assert "general kept or lost, exact_match, 200 examples in 100 groups" in text
    assert "learned examples that were learned, exact_match" in text
    assert "Kept or lost by each one's own tuning" in text
    assert "plain by its own tuning, general: 80.0 % → 50.0 %. Lost: −30.0 points [" in text
    assert "replay by its own tuning, general: 80.0 % → 80.0 %. Kept: every example scores as before." in text
    assert "Learned by each one's own tuning" in text
    assert "plain 40.0 % 95.0 % Changed by +55.0 points [" in text
    assert "better on general, which should be kept (+30.0 points" in text.replace("\n", " ")
    assert "on learned examples, learned, −30.0 points [" in text
    # Of three differences one is of learned examples, where less is no worse.
    assert "1 of 2 differences found" in text


def test_the_terminal_says_it_too(two: list[str]) -> None:
    told = StringIO()
    Console(file=told, width=200).print(comparison_table(compare(two)))
    text = " ".join(told.getvalue().split())
    assert "general, plain by its own tuning: Lost: −30.0 points [" in text
    assert "learned, replay by its own tuning: Changed by +25.0 points [" in text
    assert "kept or lost" in text


def test_learned_examples_alone_have_no_winner(tmp_path: Path) -> None:
    runs = [run_with(tmp_path / name, learned=(80, after)) for name, after in (("a", 100), ("b", 190))]
    text = page_of([str(run.path) for run in runs], tmp_path / "page.html")
    assert "No verdict on learned examples alone" in text
    assert "b against a : on learned examples, learned, +45.0 points [" in text


def test_without_answers_before_there_is_nothing_to_have_kept(two: list[str], tmp_path: Path) -> None:
    half = run_with(tmp_path / "half", general=(0, 150), held_out=(60, 150), learned=(1, 2))
    half.records_file("before", "general").unlink()
    half.append_records("before", "general", records(20, of=100))
    compared = compare([*two, str(half.path), f"{two[0]}@before"])
    (general,) = (task for task in compared["tasks"] if task["name"] == "general")
    assert list(general["by_tuning"]) == ["plain", "replay"]


def test_kept_is_what_was_kept_of_the_examples_that_are_compared(two: list[str], tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(record.to_json()) + "\n" for record in records(10, of=100)), encoding="utf-8")
    runs = [run_with(tmp_path / "one", general=(160, 100))]
    (task,) = compare([str(runs[0].path), str(few)], intersect=True)["tasks"]
    change = task["by_tuning"]["one"]
    assert (change["before"]["score"], change["estimate"], task["examples"]) == (1.0, 0.0, 100)


def test_a_file_alone_and_a_held_out_task_say_nothing_of_roles(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("first", "second")]
    text = page_of([str(run.records_file("after", "held_out")) for run in runs], tmp_path / "page.html")
    assert "own tuning" not in text
    assert "what the verdict is on" not in text
