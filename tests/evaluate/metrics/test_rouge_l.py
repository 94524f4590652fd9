"""ROUGE-L of captions."""

from __future__ import annotations

from pathlib import Path

import pytest
from caption_records import LONG, caption_records, coco126, fixture_captions, needs_java

from finesight.evaluate.metrics.rouge_l import METRIC

pytestmark = needs_java

PUBLISHED = {"coco126": 0.407980, "good": 0.4280, "bad": 0.3121, "nlg_eval": 0.522104}


def _f(precision: float, recall: float) -> float:
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


KNOWN_CASES = [
    ("a red dog", ["a red dog"], 1.0),
    ("A red dog!", ["a red dog."], 1.0),
    ("the cat sat", ["the cat sat down"], _f(1, 3 / 4)),
    ("dog red", ["red dog"], _f(1 / 2, 1 / 2)),
    # The highest precision and the highest recall, of whichever reference.
    ("one two three four", ["one two", "one two three x y z"], _f(3 / 4, 1)),
    ("fox", ["a red dog"], 0.0),
    ("", ["a red dog"], 0.0),
    ("Красный дом", ["красный дом"], 1.0),
    ("красный дом", ["красный сад"], _f(1 / 2, 1 / 2)),
    ("a\u2028red\rdog", ["a red dog"], 1.0),
    (LONG, ["a brown dog"], _f(3 / 2502, 1)),
]


def test_known_cases() -> None:
    measured = METRIC.measure(caption_records(*((said, references) for said, references, _ in KNOWN_CASES)))
    expected = [score for *_, score in KNOWN_CASES]
    assert measured.items == pytest.approx(expected, rel=1e-12)
    assert measured.score == pytest.approx(sum(expected) / len(expected), rel=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures(shared: Path, name: str) -> None:
    digits = 4 if name in ("good", "bad") else 6
    assert round(METRIC.measure(fixture_captions(shared, name)).score, digits) == PUBLISHED[name]


def test_each_caption_has_its_published_score(shared: Path) -> None:
    records, golden = coco126(shared)
    published = [item["ROUGE_L"] for item in golden["items"]]
    assert METRIC.measure(records).items == pytest.approx(published, rel=1e-12)
