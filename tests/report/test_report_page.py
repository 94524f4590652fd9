"""The page holds what the files say, needs nothing but itself, and is there however far the run came."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_reader import read
from PIL import Image
from run_folder import ORDER, Until, small_recipe, write_run

from finesight.ending import describe_end
from finesight.errors import DataError, UserError
from finesight.report.page import write_report
from finesight.report.tasks import statement


def change_verdict(folder: Path, **changes: Any) -> None:
    """Replace fields of the held-out task in verdict.json."""
    verdict = json.loads((folder / "verdict.json").read_text())
    verdict["tasks"][0] |= changes
    (folder / "verdict.json").write_text(json.dumps(verdict))


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = read(write_report(write_run(tmp_path / "run")))

    assert page.loads and all(target.startswith(("data:image/", "#")) for target in page.loads)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form"}
    assert not re.search(r"@import|url\((?!#)", (tmp_path / "run" / "report.html").read_text())


def test_the_figures_are_those_of_the_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = read(write_report(run)).text

    records = {predictor: run.records(predictor, "held_out") for predictor in ("before", "after")}
    right = {name: sum(each.prediction in each.references for each in found) for name, found in records.items()}
    for name in records:
        assert f"{right[name]} of {len(records[name])} {100 * right[name] / len(records[name]):.1f} %" in text
    task = run.load("verdict")["tasks"][0]
    change = task["difference"]
    assert (
        f"Better: +{100 * change['estimate']:.1f} points [{100 * change['low']:.1f}, {100 * change['high']:.1f}]"
    ) in text
    assert "120 questions about 24 images" in text
    assert "No leak was found" in text
    assert "3 examples of shapes.json: over max_length" in text
    assert "12,598,272" in text
    assert "40.0 % of the training answers are yes or no." in text
    assert "the checkpoint that validation chose, step 120" in text


def test_the_gallery_counts_what_was_fixed_and_broken(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = read(write_report(run)).text
    change = run.load("verdict")["tasks"][0]["difference"]

    assert f"Fixed {change['better']}: wrong before, right after; 6 shown" in text
    assert f"Broken {change['worse']}: right before, wrong after; 6 shown" in text


def test_the_same_files_give_the_same_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_what_data_say_is_shown_and_not_run(tmp_path: Path) -> None:
    write = '<script>alert("1")</script> & $x_1$'
    page = write_report(write_run(tmp_path / "run", question=write))

    assert "<script" not in page.read_text(encoding="utf-8")
    assert write in read(page).text


def test_labels_of_any_script_stay_text(tmp_path: Path) -> None:
    """A label may be markup, mathematics, or letters that no font here has; warnings are errors in these tests."""
    run = write_run(tmp_path / "run")
    score = {"score": 0.5, "low": 0.4, "high": 0.6, "right": 5}
    labels = ["<b>открытый</b>", "开放性问题", "cost in $ or $"]
    rows = [
        {"value": each, "examples": 10, "groups": 5, "scores": {"before": score, "after": score}} for each in labels
    ]
    change_verdict(run.path, by={"answer_type": rows, "question_type": []})
    page = write_report(run)

    assert "<b>" not in page.read_text(encoding="utf-8")
    text = read(page).text
    assert all(f"{label} (10)" in text for label in labels)


@pytest.mark.parametrize("until", ORDER)
def test_there_is_a_page_however_far_the_run_came(tmp_path: Path, until: Until) -> None:
    text = read(write_report(write_run(tmp_path / "run", until=until))).text
    assert ("This run is not finished." in text) == (until != "verdict")
    assert "name : coloured-shapes" in text


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("recipe", "Read the data not yet"),
        ("data", "Measure before: held_out not yet"),
        ("before", "Measure before: general done 60 of 60 questions answered"),
        ("training", "Train: tune partly step 60, epoch 1.20 of 3; validation loss 1.296"),
        ("after", "Measure after: held_out partly 50 of 120 questions answered"),
    ],
)
def test_an_interrupted_run_says_how_far_it_came(tmp_path: Path, until: Until, said: str) -> None:
    assert said in read(write_report(write_run(tmp_path / "run", until=until))).text


def test_a_verdict_without_after_is_no_finished_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    verdict = run.load("verdict")
    for task in verdict["tasks"]:
        task |= {"scores": {"before": task["scores"]["before"]}, "difference": None, "over_baseline": None, "by": {}}
        task |= {"outcomes": {"before": task["outcomes"]["before"]}}
    run.save("verdict", verdict)
    text = read(write_report(run)).text

    assert "This run is not finished." in text
    assert "There is no paired difference" in text


def test_a_leak_is_told_loudly_and_with_its_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", verdict={"warnings": ["test shares 203 images with train"]})
    leak = {"evaluation_set": "test", "learned_set": "train and validation", "kind": "same image", "groups": 203,
            "examples": 451, "first": ["synpic54610.jpg"]}  # fmt: skip
    run.save("data", run.load("data") | {"leaks": [leak], "allow_leakage": True})
    text = read(write_report(run)).text

    assert "Warning. test shares 203 images with train" in text
    assert "Same image: 203, in 451 examples of test, are also in train and validation." in text
    assert "No leak was found" not in text
    assert "Repair the split before reading anything else here: 451 examples of test" in text


def test_both_pictures_of_a_leak_are_shown_side_by_side(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(run.path / "thumbs" / f"{name}.jpg")
    sides = {
        "evaluated": {"id": "t:1", "name": "half.jpg", "thumbnail": "thumbs/a.jpg"},
        "learned": {"id": "l:1", "name": "whole.jpg", "thumbnail": "thumbs/b.jpg"},
    }
    gone = {side: {**told, "thumbnail": "thumbs/gone.jpg"} for side, told in sides.items()}
    leak = {"evaluation_set": "test", "learned_set": "train and validation", "kind": "look-alike image", "groups": 2,
            "examples": 3, "share": 0.02, "first": ["half.jpg ≈ whole.jpg (distance 2)"], "within_threshold": True,
            "pairs": [{**sides, "distance": 2}, {**gone, "distance": 4}]}  # fmt: skip
    run.save("data", run.load("data") | {"leaks": [leak]})
    page = write_report(run)
    text = read(page).text

    assert "Look-alike image: 2, in 3 examples of test, look like some of train and validation." in text
    assert "Test: half.jpg" in text and "Train and validation: whole.jpg" in text
    assert "2 of 64 bits apart" in text and "4 of 64 bits apart" not in text
    assert page.read_text(encoding="utf-8").count('class="twins"') == 1
    assert "The sets overlap a little." in text
    assert "Repair the split" not in text


def test_no_better_than_guessing_is_said_beside_the_gain(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", shares_right={"blind": 0.75}, verdict={"verdict": "no better than guessing"})
    text = read(write_report(run)).text

    assert "No better than guessing" in text
    assert "Worse than its best baseline (after, question alone)" in text
    assert "the tuned model does not show that it uses the image" in text


def test_groups_of_several_images_are_not_called_images(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    verdict = run.load("verdict")
    for task in verdict["tasks"]:
        task["groups"] = 5
    run.save("verdict", verdict)
    text = read(write_report(run)).text
    assert "120 questions in 5 groups" in text
    assert "about 5 images" not in text


def test_a_thumbnail_outside_the_run_folder_is_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "private.jpg").write_bytes(b"private")
    for file in (run.path / "evaluation").rglob("*.jsonl"):
        file.write_text(re.sub(r'"thumbs/[^"]*"', '"../private.jpg"', file.read_text()))

    assert "img" not in read(write_report(run)).tags


def test_a_loss_that_is_no_number_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="data")
    for step, loss in ((10, 2.5), (20, float("nan")), (30, float("nan"))):
        row = {"kind": "train", "stage": "tune", "step": step, "epoch": 0.1, "loss": loss, "learned_tokens": 10}
        run.append_metrics(row)
    text = read(write_report(run)).text
    assert "tune: the train loss is not a number from step 20 on." in text


def test_a_run_of_two_stages_has_two_curves(tmp_path: Path) -> None:
    stages = [{"name": "warm_up", "tune": {"projector": "full"}}, {"name": "joint", "tune": {"language": "full"}}]
    run = write_run(tmp_path / "run", until="data", recipe=small_recipe(tune=None, train=None, stages=stages))
    for stage in ("warm_up", "joint"):
        for step in (10, 20):
            run.append_metrics(
                {"kind": "train", "stage": stage, "step": step, "epoch": step / 20, "loss": 30 / step,
                 "loss_by_role": {"train": 30 / step}}
            )  # fmt: skip
    text = read(write_report(run)).text
    assert "Stage warm_up: training loss went from 3.000 to 1.500" in text
    assert "Stage joint: training loss went from 3.000 to 1.500" in text
    assert "Train: warm_up done" in text


def test_one_loss_went_nowhere(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="data")
    run.append_metrics({"kind": "validation", "stage": "tune", "step": 10, "epoch": 1.0, "loss": 0.424})
    assert "Stage tune: validation loss 0.424 at step 10" in read(write_report(run)).text


def test_a_page_says_why_a_run_is_not_finished(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until="before")
    assert "It came as far as this; --resume with this folder goes on from here." in read(write_report(run)).text
    run.note_end(describe_end(DataError("the data are others", hint="restore them")))
    text = read(write_report(run)).text
    assert "This run is not finished. It failed (20" in text
    assert "): the data are others. What to do: restore them." in text
    assert "goes on from here" not in text
    assert text.count("Answers are scored when all are there.") == 1
    run.note_end(describe_end(DataError("the disk is gone")))
    assert (
        f"the disk is gone. What to do: go on with: finesight run --resume {run.path}." in read(write_report(run)).text
    )


def test_a_page_says_that_the_recipe_was_changed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.begin({"recipe_changes": ["train.max_steps: 60 → 40"]})
    told = "Warning. The recipe was changed while the run went on: train.max_steps: 60 → 40."
    assert read(write_report(run)).text.count(told) == 1


@pytest.mark.parametrize("name", ["data.json", "verdict.json", "checkpoints/tune/best.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    (run.path / name).write_text('{"sets": ')
    with pytest.raises(UserError, match=re.escape(f"{run.path / name}: damaged")) as raised:
        write_report(run)
    assert raised.value.hint == f"it is written anew by: finesight run --resume {run.path}"
    assert not (run.path / "report.html").exists()


def test_a_record_without_a_field_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with run.records_file("after", "held_out").open("a", encoding="utf-8") as file:
        file.write('{"prediction": "yes", "references": ["yes"]}\n')
    with pytest.raises(UserError, match=r"after/held_out\.jsonl: a line lacks the field 'id'"):
        write_report(run)


def test_a_change_that_does_not_hold_beside_the_other_tasks_is_not_told_as_one() -> None:
    change = {"estimate": 0.1, "low": 0.01, "high": 0.19, "p_holm": 0.12}
    told = statement({"role": "held_out", "difference": change})
    assert told == "No difference found: +10.0 points [1.0, 19.0]. Beside the other tasks p is 0.120 (Holm)."
    assert statement({"role": "held_out", "difference": {**change, "p_holm": 0.04}}).startswith("Better: ")


def test_what_cannot_be_seen_in_an_answer_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    records = run.records("after", "held_out")
    said = "\u202eno\u2028\x07 idea"
    run.replace_records("after", "held_out", [replace(record, prediction=said) for record in records])
    page = write_report(run).read_text(encoding="utf-8")
    assert "no⟨U+2028⟩⟨U+0007⟩ idea" in page
    assert not re.search("[\x00-\x08\u2028\u2029]", page)
    assert '<dd class="wrong" dir="auto">\u202eno' in page


def test_a_gain_over_guessing_that_does_not_hold_beside_the_other_tasks_is_not_told_as_one() -> None:
    change = {"estimate": 0.1, "low": 0.01, "high": 0.19, "p_holm": 0.01}
    over = {"from": "majority", "estimate": 0.08, "low": 0.01, "high": 0.15, "p_holm": 0.09}
    told = statement({"role": "held_out", "difference": change, "over_baseline": over})
    assert told.endswith("No better than its best baseline (majority answer): +8.0 points [1.0, 15.0].")
    held = statement({"role": "held_out", "difference": change, "over_baseline": {**over, "p_holm": 0.04}})
    assert held == "Better: +10.0 points [1.0, 19.0]."
