"""The metrics by name. Each has a file of its own; the tests hold it to a table of known cases."""

from __future__ import annotations

from collections.abc import Mapping

from finesight.errors import UserError, nearest_name
from finesight.evaluate.metrics import (
    any_language,
    bleu,
    choice_accuracy,
    cider,
    clip_score,
    exact_match,
    gqa_ru,
    lemma_match,
    meteor,
    perplexity,
    rouge_l,
    token_f1,
    vqa_accuracy,
)
from finesight.evaluate.metrics.metric import Metric

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        exact_match.METRIC,
        gqa_ru.METRIC,
        lemma_match.METRIC,
        token_f1.METRIC,
        *vqa_accuracy.METRICS,
        *choice_accuracy.METRICS,
        *bleu.METRICS,
        rouge_l.METRIC,
        cider.METRIC,
        meteor.METRIC,
        *any_language.METRICS,
        *clip_score.METRICS,
        perplexity.METRIC,
    )
}


def metric_named(name: str) -> Metric:
    """Return the metric of that name. Raises `UserError` when there is none."""
    if name not in METRICS:
        near = nearest_name(name, METRICS)
        meant = f"did you mean {near}? " if near else ""
        raise UserError(f"there is no metric {name}", hint=f"{meant}the metrics are {', '.join(METRICS)}")
    return METRICS[name]
