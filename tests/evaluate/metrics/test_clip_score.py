"""CLIP scores as records keep them: read, told from those of other answers and other CLIPs, and kept by a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finesight.errors import DataError, UserError
from finesight.evaluate.comparison import compare
from finesight.evaluate.metrics.clip_score import METRICS, NAMES, hash_answer
from finesight.evaluate.metrics.metric import Metric
from finesight.evaluate.predictions import read_predictions
from finesight.evaluate.scoring import score_file
from finesight.rundir import record_from_json, write_records
from finesight.schema import ImageScores, Instrument, Record

VALUES = {"clip_score": 0.75, "ref_clip_score": 0.8, "clip_logit": -3.0}


def kept(number: int, value: float = 0.75, weights: str = "a", is_cut: bool = False) -> Record:
    record = Record(str(number), f"a dog {number}", ("a dog", "ein Hund"))
    values = {**VALUES, "clip_score": value}
    return replace(record, image_scores=ImageScores(Instrument("clip", weights), hash_answer(record), values, is_cut))


@pytest.mark.parametrize(("metric", "expected"), list(zip(METRICS, VALUES.values(), strict=True)), ids=NAMES)
def test_each_metric_is_the_mean_of_its_own_values(metric: Metric, expected: float) -> None:
    measured = metric.measure([kept(1), kept(2)])
    assert (measured.score, measured.items.tolist()) == (expected, [expected] * 2)
    assert metric.scale.low <= expected <= metric.scale.high
    assert metric.scores(kept(1)) and not metric.scores(replace(kept(1), image_scores=None))


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
@pytest.mark.parametrize("nothing", ["", " \n"])
def test_an_empty_answer_counts_as_nothing_whatever_clip_gave_it(metric: Metric, nothing: str) -> None:
    silent = replace(kept(2), prediction=nothing)
    assert silent.image_scores is not None
    silent = replace(silent, image_scores=replace(silent.image_scores, answer=hash_answer(silent)))
    assert metric.measure([kept(1), silent]).items.tolist() == [VALUES[metric.name], 0.0]
    assert metric.warnings([kept(1), silent]) == ["1 of 2 answers are empty, and count as 0 (2)"]
    assert "An empty answer counts as 0." in metric.rule


def test_the_highest_scores_are_those_of_a_cosine_of_one() -> None:
    from numpy import array

    from finesight.models.clip_scores import clip_score as of_cosines
    from finesight.models.clip_scores import ref_clip_score

    best = of_cosines(array([1.0]))
    assert [METRICS[0].scale.high] == best
    assert [METRICS[1].scale.high] == ref_clip_score(best, array([1.0]))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (replace(kept(7), image_scores=None), "1 of 2 records hold no value of CLIP: 7"),
        (replace(kept(7), prediction="a cat"), "1 of 2 records hold CLIP's value of another answer: 7"),
        (replace(kept(7), references=("a cat",)), "1 of 2 records hold CLIP's value of another answer: 7"),
        (kept(7, weights="b"), r"of 2 different CLIPs: clip \(a\), clip \(b\)"),
    ],
)
def test_values_that_are_missing_or_of_something_else_are_refused(changed: Record, told: str) -> None:
    with pytest.raises(DataError, match=told) as refused:
        METRICS[0].measure([kept(1), changed])
    assert "--images FOLDER" in refused.value.hint


def test_a_file_keeps_them(tmp_path: Path) -> None:
    records = [kept(1), kept(2, is_cut=True), replace(kept(3), image_scores=None)]
    write_records(tmp_path / "answers.jsonl", records)
    assert read_predictions(tmp_path / "answers.jsonl") == records
    assert record_from_json(json.loads(json.dumps(records[1].to_json()))) == records[1]


@pytest.mark.parametrize(
    "scores",
    [0.7, {}, {"clip": "a", "weights": "b"}, {"clip": "a", "weights": "b", "answer": "c", "clip_score": "high"},
     {"clip": "a", "weights": 3, "answer": "c"}, {"clip": "a", "weights": "b", "answer": "c", "is_cut": 1}],
)  # fmt: skip
def test_what_is_no_value_of_clip_is_told_with_its_line(scores: object, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"id": "1", "prediction": "a", "references": ["a"], "image_scores": scores}), "utf-8")
    with pytest.raises(DataError, match=r"answers.jsonl:1: image_scores must be what"):
        read_predictions(path)


def test_who_measured_and_what_was_cut_are_told(tmp_path: Path) -> None:
    write_records(tmp_path / "answers.jsonl", [kept(1), kept(2, is_cut=True), kept(3)])
    scored = score_file(tmp_path / "answers.jsonl", "clip_score")
    assert scored["measured_by"] == "clip"
    assert "1 of 3 answers are longer than CLIP reads, and scored by their beginning (2)" in scored["warnings"]


def test_values_of_two_clips_are_not_compared(tmp_path: Path) -> None:
    first, second, other = (str(tmp_path / f"{name}.jsonl") for name in ("first", "second", "other"))
    write_records(Path(first), [kept(number) for number in range(9)])
    write_records(Path(second), [kept(number, 0.5 + number / 100, is_cut=number < 2) for number in range(9)])
    write_records(Path(other), [kept(number, weights="b") for number in range(9)])
    compared = compare([first, second], "clip_score")
    (task,) = compared["tasks"]
    assert task["differences"]["second.jsonl"]["estimate"] == pytest.approx(0.54 - 0.75)
    assert any("second.jsonl: 2 of 9 answers are longer" in warning for warning in compared["warnings"])
    with pytest.raises(UserError, match=r"first.jsonl by clip \(a\), .*other.jsonl by clip \(b\)"):
        compare([first, other], "clip_score")
    assert compare([first, other], "exact_match")["tasks"]
