"""Token F1: how many words an answer and a reference share."""

from __future__ import annotations

import re
from collections import Counter

from finesight.evaluate.metrics import exact_match
from finesight.evaluate.metrics.metric import GRADED, Metric, mean_of
from finesight.schema import Record

RULE = (
    "The words that an answer shares with a reference, each counted as often as both have it: the harmonic mean of "
    "their share of the answer's words and of the reference's; of several references, the best. Words are compared "
    "as exact_match compares answers. Articles count in every language; a Chinese or Japanese character is a word."
)
_SOURCE = "https://rajpurkar.github.io/SQuAD-explorer (evaluate-v2.0.py), without its rule for English articles"
_WRITTEN_WITHOUT_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_WRITTEN_WITHOUT_SPACES}]|[^\s{_WRITTEN_WITHOUT_SPACES}]+")


def score(record: Record) -> float:
    """Return the best F1 between the prediction and a reference, from 0.0 to 1.0."""
    prediction = _words(record.prediction)
    return max(_f1(prediction, _words(reference)) for reference in record.references)


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(exact_match.normalise(text)))


def _f1(prediction: Counter[str], reference: Counter[str]) -> float:
    """Return the harmonic mean of precision and recall; 1.0 when there are no words in either."""
    words = prediction.total() + reference.total()
    return 2 * (prediction & reference).total() / words if words else 1.0


METRIC = Metric("token_f1", RULE, _SOURCE, mean_of(score), exact_match.normalise, GRADED)
