"""The verdict says what the records allow, and no more."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from record_making import TASKS, example, new_run, record, records, task_of

from finesight.errors import UserError
from finesight.evaluate.verdict import judge, rejudge
from finesight.rundir import RunDir

COUNT = 200


def answers(share: float, seed: int = 0) -> list[bool]:
    """Return right and wrong answers, `share` of them right."""
    chance = random.Random(seed)
    right = [number < share * COUNT for number in range(COUNT)]
    chance.shuffle(right)
    return right


def fill(run: RunDir, task: str, **shares: float) -> None:
    for seed, (predictor, share) in enumerate(shares.items()):
        run.append_records(predictor, task, records(answers(share, seed)))


def verdict_of(run: RunDir, **shares: float) -> dict[str, Any]:
    fill(run, "held_out", **shares)
    task = task_of([example(number, "yes") for number in range(COUNT)])
    return judge(run, [task], 42, [])


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ({"before": 0.3, "after": 0.7, "blind": 0.4, "majority": 0.3}, "better"),
        ({"before": 0.7, "after": 0.4, "blind": 0.2, "majority": 0.1}, "worse"),
        ({"before": 0.5, "after": 0.51, "blind": 0.2, "majority": 0.1}, "no difference found"),
        ({"before": 0.1, "after": 0.6, "blind": 0.6, "majority": 0.3}, "no better than guessing"),
        ({"before": 0.1, "after": 0.6, "blind": 0.2, "majority_by_question_type": 0.6}, "no better than guessing"),
        ({"before": 0.3, "after": 0.7}, "better"),
    ],
)
def test_the_headline_follows_from_the_intervals(tmp_path: Path, shares: dict[str, float], verdict: str) -> None:
    content = verdict_of(new_run(tmp_path / "run"), **shares)
    assert content["headline"]["verdict"] == verdict
    (task,) = content["tasks"]
    over = task["over_baseline"]
    assert (over is None) == (len(shares) == 2)
    assert (verdict == "no better than guessing") == (over is not None and over["low"] <= 0)


def test_the_verdict_has_every_documented_field(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    content = verdict_of(run, before=0.3, after=0.7, blind=0.4, majority=0.3, majority_by_question_type=0.35)
    run.save("verdict", content)
    assert run.load("verdict") == content
    (task,) = content["tasks"]
    assert " ".join(task) == (
        "name role metric metric_rule scale examples groups scores majority_from difference over_baseline right_ids "
        "outcomes became_right by also benchmark taken_over"
    )
    assert list(task["scores"]) == ["before", "after", "blind", "majority", "majority_by_question_type"]
    assert (task["examples"], task["groups"], task["majority_from"]) == (COUNT, COUNT // 2, "train")
    assert (task["difference"]["from"], task["difference"]["to"]) == ("before", "after")
    assert task["over_baseline"]["from"] == "blind"
    assert task["difference"]["seed"] == 42 and task["difference"]["draws"] == 10_000
    assert {outcome: count for outcome, count in task["outcomes"]["after"].items() if count} == {
        "right": 140,
        "wrong": 60,
    }
    assert {predictor: len(ids) for predictor, ids in task["right_ids"].items()} == {
        predictor: score["right"] for predictor, score in task["scores"].items()
    }
    assert task["by"] == {"answer_type": [], "question_type": []}


def test_the_sentences_carry_the_figures(tmp_path: Path) -> None:
    content = verdict_of(new_run(tmp_path / "run"), before=0.3, after=0.7, blind=0.4)
    change, baseline = content["headline"]["sentences"]
    assert change.startswith("held_out: 30.0 % → 70.0 %, better: +40.0 points (95 % interval +")
    assert change.endswith(" on 200 examples in 100 groups.")
    assert baseline.startswith("held_out: better than the tuned model given the question alone, which gives 40.0 %: +3")


def test_only_what_named_the_right_answer_before_is_told_as_form(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    was = ["Yes, so it is.", "да", "коричневый", "no"] * 10
    run.append_records("before", "held_out", [record(number, said) for number, said in enumerate(was)])
    run.append_records("after", "held_out", records([True] * 40))
    sentences = judge(run, [task_of([example(number, "yes") for number in range(40)])], 42, [])["headline"]["sentences"]
    assert sentences[-2:] == [
        "held_out: of 40 answers that became right, 10 named the right answer before among more words: that part is "
        "form, not knowledge.",
        "held_out: of 40 answers that became right, 20 were in another script before; whether the model knew the "
        "answer then cannot be told.",
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.9, 0.4, "general: 90.0 % → 40.0 %, lost 50.0 points (95 % interval −"),
        (1.0, 1.0, "general: 100.0 % → 100.0 %, kept: 0.0 points (95 % interval 0.0 to 0.0) on"),
        (0.5, 0.5, "general: 50.0 % → 50.0 %, cannot tell whether it was kept: 0.0 points (95 % interval −"),
        (0.2, 0.8, "general: 20.0 % → 80.0 %, kept, and gained 60.0 points (95 % interval +"),
    ],
)
def test_forgetting_is_told_apart_and_does_not_touch_the_headline(
    tmp_path: Path, before: float, after: float, told: str
) -> None:
    run = new_run(tmp_path / "run")
    fill(run, "held_out", before=0.3, after=0.7, majority=0.2)
    fill(run, "general", before=before, after=after)
    headline = rejudge(run)["headline"]
    assert headline["verdict"] == "better"
    assert headline["sentences"][-1].startswith(told)


def test_no_verdict_rests_on_the_validation_set(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    fill(run, "watched", before=0.1, after=0.9)
    headline = rejudge(run)["headline"]
    assert headline["verdict"] == "no difference found"
    assert headline["sentences"] == [
        "No task with the role held_out on a set of its own was measured, so there is no verdict.",
        "watched: 10.0 % → 90.0 % on the validation set, which chose the checkpoint: no verdict rests on it.",
    ]


def test_without_a_test_set_the_verdict_is_on_validation_and_warns(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", [{"name": "watched", "from": "validation"}], split={"test": 0})
    fill(run, "watched", before=0.1, after=0.9)
    headline = rejudge(run)["headline"]
    assert headline["verdict"] == "better"
    assert headline["sentences"][0].startswith("watched: 10.0 % → 90.0 %, better: +80.0 points")
    (warning,) = headline["warnings"]
    assert warning.startswith(
        "watched: there is no test set, so the verdict is on the validation set, which also chose"
    )


def test_a_bad_task_is_not_hidden_behind_a_good_one(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", [{"name": "good", "from": "test"}, {"name": "bad", "kind": "scenes"}])
    fill(run, "good", before=0.3, after=0.7)
    fill(run, "bad", before=0.7, after=0.3)
    content = rejudge(run)
    assert content["headline"]["verdict"] == "worse"
    assert [task["majority_from"] for task in content["tasks"]] == ["train", "the task itself"]


def test_judging_again_from_the_records_alone_gives_the_same(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    fill(run, "held_out", before=0.3, after=0.7, blind=0.4)
    task = task_of([example(number, "yes") for number in range(COUNT)])
    verdict = judge(run, [task], run.recipe.seed, ["the sets overlap"])
    run.save("verdict", verdict)
    assert rejudge(RunDir.existing(run.path)) == verdict
    assert verdict["headline"]["warnings"] == ["the sets overlap"]


def test_few_groups_are_warned_of_once(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", TASKS[:1])
    for predictor in ("before", "after"):
        run.append_records(predictor, "held_out", [record(number, "yes", group=number // 10) for number in range(30)])
    run.save("verdict", rejudge(run))
    (warning,) = rejudge(run)["headline"]["warnings"]
    assert warning.startswith("held_out: 3 groups only")


@pytest.mark.parametrize(("empty", "warned"), [(30, True), (16, True), (15, False)])
def test_answers_that_are_mostly_empty_are_warned_of(tmp_path: Path, empty: int, warned: bool) -> None:
    run = new_run(tmp_path / "run", TASKS[:1])
    run.append_records("before", "held_out", [record(number, "yes") for number in range(30)])
    run.append_records("after", "held_out", [record(number, "" if number < empty else "yes") for number in range(30)])
    told = f"held_out: {empty} of 30 answers are empty after tuning, 0 were before"
    assert (told in rejudge(run)["headline"]["warnings"]) is warned


def test_the_order_of_the_records_does_not_matter(tmp_path: Path) -> None:
    run, turned = new_run(tmp_path / "run"), new_run(tmp_path / "turned")
    for predictor, share in (("before", 0.3), ("after", 0.7)):
        of = records(answers(share, len(predictor)))
        run.append_records(predictor, "held_out", of)
        turned.append_records(predictor, "held_out", of[::-1] if predictor == "before" else of)
    assert rejudge(run) == rejudge(turned)


def test_judging_and_comparing_need_no_torch() -> None:
    code = (
        "import sys, finesight.evaluate.verdict, finesight.evaluate.comparison, finesight.evaluate.baselines\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unfinished_and_foreign_records_are_refused_with_counts(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    fill(run, "held_out", before=0.3, after=0.5)
    task = task_of([example(number, "yes") for number in range(5, COUNT + 7)])
    with pytest.raises(UserError, match="of 202 examples 7 are not answered, and 5 answers are to other examples"):
        judge(run, [task], 42, [])
    with pytest.raises(UserError, match="has answered no task yet"):
        rejudge(new_run(tmp_path / "empty"))


def test_metrics_beside_the_tasks_own_are_judged_without_a_say_in_the_verdict(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", [{"name": "held_out", "from": "test", "also": ["exact_match"]}])
    fill(run, "held_out", before=0.3, after=0.7)
    (task,) = rejudge(run)["tasks"]
    (beside,) = task["also"]
    assert beside["metric"] == "exact_match"
    assert beside["scores"]["after"] == task["scores"]["after"]
    assert beside["difference"]["estimate"] == task["difference"]["estimate"]


def test_several_tasks_are_corrected_together(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", [{"name": name, "from": "test"} for name in ("one", "two", "three")])
    for name in ("one", "two", "three"):
        fill(run, name, before=0.3, after=0.42)
    changes = [task["difference"] for task in rejudge(run)["tasks"]]
    assert [change["p_holm"] for change in changes] == [min(1.0, 3 * change["p_bootstrap"]) for change in changes]


def test_what_is_over_the_baselines_has_to_hold_beside_the_other_tasks(tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(5)]
    run = new_run(tmp_path / "run", [{"name": name, "from": "test"} for name in names])
    for name in names:
        fill(run, name, before=0.2, majority=0.6, after=0.715)
    verdict = rejudge(run)
    overs = [task["over_baseline"] for task in verdict["tasks"]]
    assert all(over["low"] > 0 and 0.01 < over["p_bootstrap"] < 0.05 < over["p_holm"] for over in overs)
    assert all(task["difference"]["p_holm"] <= 0.05 for task in verdict["tasks"])
    assert verdict["headline"]["verdict"] == "no better than guessing"
    assert "task0: no better than the most frequent answer" in " ".join(verdict["headline"]["sentences"])
