"""Perplexity of the reference answers: how surprised the model is by what it should have said. Lower is better."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from finesight.errors import DataError
from finesight.evaluate.metrics.metric import Measured, Metric, Scale, Values
from finesight.schema import Record

RULE = (
    "The exponential of the mean negative log-likelihood of a token of the first reference, its end included, over "
    "all tokens together: 1 for a model that was sure of every token. Comparable only between models with one "
    "tokenizer."
)

_SHOWN = 3


def measure(records: Sequence[Record]) -> Measured:
    """Return perplexity; statistics are float[records, 2]: negative log-likelihoods (nats), tokens.

    Raises `DataError` for records that do not say how likely their reference was, or say what no likelihood can be.
    """
    said = [(surprise, record.reference_tokens) for record in records if (surprise := _surprise(record)) is not None]
    if len(said) < len(records):
        without = [record.id for record in records if _surprise(record) is None]
        raise DataError(
            f"perplexity: {len(without):,} of {len(records):,} records do not say how likely their reference was: "
            f"{', '.join(without[:_SHOWN])}",
            hint="a line needs reference_log_likelihood (nats summed over the tokens, 0 or less) and reference_tokens",
        )
    statistics = np.array(said, dtype=np.float64).reshape(len(said), 2)
    return Measured(combine(statistics), statistics, combine)


def _surprise(record: Record) -> float | None:
    """Return the negative log-likelihood of the reference, in nats; None where the record holds none."""
    likelihood = record.reference_log_likelihood
    if likelihood is None or record.reference_tokens < 1 or not likelihood <= 0:
        return None
    return -likelihood


def combine(sums: Values) -> Values:
    """Return exp of the first sum over the second; infinite where that is beyond all numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.exp(sums[..., 0] / sums[..., 1]))


METRIC = Metric(
    name="perplexity",
    rule=RULE,
    source="finesight",
    measure=measure,
    normalise=str.strip,
    scores=lambda record: record.reference_log_likelihood is not None,
    scale=Scale(low=1.0, high=inf, percent=False, higher_is_better=False, binary=False),
)
