"""`finesight score` on a predictions file: what it scores, and what kind of wrong each answer is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from record_making import new_run, records

from finesight.errors import UserError
from finesight.evaluate.outcomes import OUTCOMES
from finesight.evaluate.scoring import score_file

CHOICE = {"references": ["A"], "choices": ["красный", "синий", "зелёный"]}
ONE_OF_EACH_KIND: dict[str, dict[str, Any]] = {
    "right": {**CHOICE, "prediction": "Ответ: А"},
    "other_format": {**CHOICE, "prediction": "Конечно же, это красный шар"},
    "other_language": {**CHOICE, "prediction": "It must be the red one"},
    "unparsed": {**CHOICE, "prediction": "А или Б"},
    "empty": {**CHOICE, "prediction": " \n"},
    "cut": {**CHOICE, "prediction": "Сначала посмотрим на", "finish_reason": "length"},
    "wrong": {**CHOICE, "prediction": "Б"},
}


def write(path: Path, rows: dict[str, dict[str, Any]]) -> Path:
    lines = (json.dumps({"id": name, **row}, ensure_ascii=False) + "\n" for name, row in rows.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_each_kind_of_wrong_is_named(tmp_path: Path) -> None:
    scored = score_file(write(tmp_path / "predictions.jsonl", ONE_OF_EACH_KIND), "choice_accuracy")
    assert {outcome: number for outcome, number in scored["outcomes"].items() if number} == dict.fromkeys(
        ONE_OF_EACH_KIND, 1
    )
    assert scored["score"]["score"] == pytest.approx(1 / 7)


@pytest.mark.parametrize("expected", ONE_OF_EACH_KIND)
def test_each_answer_is_of_its_own_kind(tmp_path: Path, expected: str) -> None:
    scored = score_file(
        write(tmp_path / "predictions.jsonl", {"1": ONE_OF_EACH_KIND[expected]}), "choice_accuracy"
    )  # fmt: skip
    assert [outcome for outcome, number in scored["outcomes"].items() if number] == [expected]


@pytest.mark.parametrize(("metric", "kind"), [("token_f1", "partly"), ("chrf", "written")])
def test_every_kind_is_tried_but_those_that_other_metrics_give(tmp_path: Path, metric: str, kind: str) -> None:
    assert set(OUTCOMES) - set(ONE_OF_EACH_KIND) == {"partly", "written"}
    rows = {"1": {"prediction": "a red ball", "references": ["a red dog"]}}
    assert score_file(write(tmp_path / "predictions.jsonl", rows), metric)["outcomes"][kind] == 1


def test_kinds_of_questions_are_scored_apart(tmp_path: Path) -> None:
    rows = {
        str(number): {"prediction": said, "references": ["yes"], "answer_type": kind}
        for number, (said, kind) in enumerate([("yes", "closed"), ("no", "closed"), ("yes", "open")])
    }
    scored = score_file(write(tmp_path / "predictions.jsonl", rows), "exact_match")
    (closed, opened) = scored["by"]["answer_type"]
    assert (closed["value"], closed["scores"]["answers"]["score"]) == ("closed", 0.5)
    assert (opened["value"], opened["scores"]["answers"]["score"]) == ("open", 1.0)


def test_few_groups_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path / "predictions.jsonl", ONE_OF_EACH_KIND)
    assert score_file(path, "choice_accuracy")["warnings"] == [
        f"{path}: 7 groups only; intervals from so few are less sure than they look"
    ]


def test_an_unknown_metric_is_told_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no metric luck"):
        score_file(tmp_path / "none.jsonl", "luck")


@pytest.mark.parametrize(("typed", "meant"), [("bleu", "bleu_4"), ("rouge", "rouge_l"), ("exact-match", "exact_match")])
def test_a_mistyped_metric_is_guessed(tmp_path: Path, typed: str, meant: str) -> None:
    with pytest.raises(UserError) as refused:
        score_file(tmp_path / "none.jsonl", typed)
    assert refused.value.hint.startswith(f"did you mean {meant}? the metrics are exact_match, ")


def test_a_folder_is_told_which_of_its_files_can_be_scored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder, and not a predictions file"):
        score_file(tmp_path, "exact_match")
    run = new_run(tmp_path / "run")
    for predictor in ("after", "before"):
        run.append_records(predictor, "held_out", records([True]))
    with pytest.raises(UserError) as refused:
        score_file(run.path, "exact_match")
    assert f"finesight score {run.records_file('after', 'held_out')}" in refused.value.hint
    assert f"finesight rescore {run.path}" in refused.value.hint
