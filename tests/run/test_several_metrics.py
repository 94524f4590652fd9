"""Metrics beside a task's own, from the model to the page: those of answers, and the likelihood of the references."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from small_runs import Finesight, WriteRecipe, read_json_lines

EVALUATE = [
    {"name": "held_out", "from": "test", "max_new_tokens": 6, "also": ["token_f1", "perplexity"]},
    {"name": "likelihood", "kind": "scenes", "scenes": 5, "first_scene": 900, "questions_per_scene": 6,
     "image_size": 32, "max_new_tokens": 6, "metric": "perplexity"},
]  # fmt: skip


def test_perplexity_is_that_of_the_references_before_and_after(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert finesight("run", write_recipe(evaluate=EVALUATE), "--output", run).code == 0
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    first, second = verdict["tasks"]
    beside = {entry["metric"]: entry for entry in first["also"]}
    assert list(beside) == ["token_f1", "perplexity"]
    assert "majority" in beside["token_f1"]["scores"] and "majority" not in beside["perplexity"]["scores"]
    records = read_json_lines(run / "evaluation" / "after" / "held_out.jsonl")
    surprise = -sum(record["reference_log_likelihood"] for record in records)
    expected = math.exp(surprise / sum(record["reference_tokens"] for record in records))
    after = beside["perplexity"]["scores"]["after"]["score"]
    assert after == pytest.approx(expected)
    assert after < beside["perplexity"]["scores"]["before"]["score"]
    assert second["metric"] == "perplexity" and second["difference"]["estimate"] < 0
    assert second["outcomes"] == {"before": {}, "after": {}}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "perplexity" in page and "token_f1" in page
    kept = run / "recipe.yaml"
    kept.write_text(
        kept.read_text(encoding="utf-8").replace("metric: perplexity", "metric: exact_match"), encoding="utf-8"
    )
    again = finesight("rescore", run)
    assert again.code == 0, again.stderr
    assert again.last_line() == str(run / "report.html")
    rescored = json.loads((run / "verdict.json").read_text(encoding="utf-8"))["tasks"]
    assert rescored[0] == {
        **first,
        "difference": {**first["difference"], "p_holm": rescored[0]["difference"]["p_holm"]},
    }
    assert rescored[1]["metric"] == "exact_match" and "majority" in rescored[1]["scores"]


def test_evaluate_measures_by_several_metrics(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    run, measured = tmp_path / "run", tmp_path / "measured"
    recipe = write_recipe(evaluate=EVALUATE)
    assert finesight("run", recipe, "--output", run).code == 0
    ended = finesight("evaluate", run, recipe, "--output", measured)
    assert ended.code == 0, ended.stderr
    held_out = json.loads((measured / "scores.json").read_text(encoding="utf-8"))["tasks"][0]
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))["tasks"][0]
    for own, other in zip(held_out["also"], verdict["also"], strict=True):
        assert own["scores"]["model"]["score"] == pytest.approx(other["scores"]["after"]["score"])
