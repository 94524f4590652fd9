"""Stored answers are scored anew: a predictions file by any metric, a run by its own or another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.outcomes import count_outcomes
from finesight.evaluate.predictions import read_predictions
from finesight.evaluate.score import KINDS, break_down, score_records, summarise


def score_file(path: Path, metric: str) -> dict[str, Any]:
    """Return what a predictions file scores.

    Returns `{"metric", "metric_rule", "metric_source", "scale", "examples", "groups", "score", "outcomes", "by"}`:
    `score` as in verdict.json, `by` the scores of each kind of answer and question, where the file tells kinds.
    Raises `UserError` for an unknown metric, and `DataError` for a file that cannot be read.
    """
    chosen = metric_named(metric)
    scored = score_records(read_predictions(path), chosen, str(path))
    return {
        "metric": chosen.name,
        "metric_rule": chosen.rule,
        "metric_source": chosen.source,
        "scale": chosen.scale.to_json(),
        "examples": len(scored.records),
        "groups": scored.group_count,
        "score": summarise(scored),
        "outcomes": count_outcomes(scored),
        "by": {kind: rows for kind in KINDS if (rows := break_down({"answers": scored}, kind))},
    }
