"""Stored answers are scored anew: a predictions file by any metric, a run by its own or another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finesight.evaluate.headline import warn_of_few_groups
from finesight.evaluate.metrics.metrics import metric_named
from finesight.evaluate.outcomes import count_outcomes
from finesight.evaluate.predictions import read_predictions
from finesight.evaluate.score import KINDS, break_down, score_records, summarise
from finesight.schema import Record


def score_file(path: Path, metric: str) -> dict[str, Any]:
    """Return what a predictions file scores, as `score_answers` does.

    Raises `UserError` for an unknown metric, and `DataError` for a file that cannot be read.
    """
    metric_named(metric)
    return score_answers(read_predictions(path), metric, str(path))


def score_answers(records: Sequence[Record], metric: str, name: str) -> dict[str, Any]:
    """Return what records score; `name` says in an error whose they are.

    Returns `{"metric", "metric_rule", "metric_source", "scale", "measured_by", "warnings", "examples", "groups",
    "score", "outcomes", "by"}`: `measured_by` the model that gave the values which the metric reads, or null; `score`
    as in verdict.json; `by` the scores of each kind of answer and question, where the records tell kinds. Raises
    `UserError` for an unknown metric, and for records that cannot be scored.
    """
    chosen = metric_named(metric)
    scored = score_records(records, chosen, name)
    instrument = chosen.instrument(scored.records[0])
    size = {"name": name, "examples": len(scored.records), "groups": scored.group_count}
    return {
        "metric": chosen.name,
        "metric_rule": chosen.rule,
        "metric_source": chosen.source,
        "scale": chosen.scale.to_json(),
        "measured_by": instrument.name if instrument is not None else None,
        "warnings": [*warn_of_few_groups([size]), *chosen.warnings(scored.records)],
        "examples": size["examples"],
        "groups": size["groups"],
        "score": summarise(scored),
        "outcomes": count_outcomes(scored),
        "by": {kind: rows for kind in KINDS if (rows := break_down({"answers": scored}, kind))},
    }
