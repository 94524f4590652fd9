"""Perplexity of the reference answers."""

from __future__ import annotations

import json
from math import exp, inf, log, nan

import pytest

from finesight.errors import DataError
from finesight.evaluate.metrics.perplexity import METRIC
from finesight.rundir import record_from_json
from finesight.schema import Record


def _record(number: int, likelihood: float | None, tokens: int) -> Record:
    return Record(str(number), "", ("да",), reference_log_likelihood=likelihood, reference_tokens=tokens)


def _alone(likelihood: float, tokens: int) -> float:
    return exp(-likelihood / tokens) if likelihood > -700 else inf


@pytest.mark.parametrize(
    ("said", "perplexity"),
    [
        ([(0.0, 3)], 1.0),
        ([(log(0.5), 1)], 2.0),
        ([(3 * log(0.25), 3)], 4.0),
        # Every token counts the same, not every answer: the mean of 2 and 8 would be 5.
        ([(3 * log(0.5), 3), (log(0.125), 1)], exp(6 * log(2) / 4)),
        ([(-1e6, 1)], inf),
        ([(-inf, 1), (0.0, 1)], inf),
    ],
)
def test_known_cases(said: list[tuple[float, int]], perplexity: float) -> None:
    measured = METRIC.measure([_record(number, *each) for number, each in enumerate(said)])
    assert measured.score == pytest.approx(perplexity, rel=1e-12)
    assert measured.items == pytest.approx([_alone(*each) for each in said], rel=1e-12)


@pytest.mark.parametrize(("likelihood", "tokens"), [(None, 0), (-1.0, 0), (-1.0, -2), (0.5, 1), (nan, 1)])
def test_what_is_no_likelihood_is_counted_and_named(likelihood: float | None, tokens: int) -> None:
    with pytest.raises(DataError, match=r"1 of 2 records do not say how likely their reference was: 7"):
        METRIC.measure([_record(1, -1.0, 1), _record(7, likelihood, tokens)])


@pytest.mark.parametrize("record", [_record(1, -12.345678901234567, 9), _record(2, 0.0, 1), _record(3, None, 0)])
def test_a_file_keeps_it(record: Record) -> None:
    written = json.dumps(record.to_json())
    assert record_from_json(json.loads(written)) == record
    assert ("reference_log_likelihood" in written) == (record.reference_log_likelihood is not None)
