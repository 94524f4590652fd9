"""BLEU of captions."""

from __future__ import annotations

from math import exp
from pathlib import Path

import numpy as np
import pytest
from caption_records import LONG, caption_records, coco126, fixture_captions, needs_java

from finesight.evaluate.metrics import caption_text
from finesight.evaluate.metrics.bleu import METRICS

pytestmark = needs_java

PUBLISHED = {
    "coco126": (0.585477, 0.404738, 0.282507, 0.198265),
    "good": (0.6667, 0.4899, 0.3469, 0.0),
    "bad": (0.4815, 0.2404, 0.1359, 0.0),
    "nlg_eval": (0.55, 0.428174, 0.284043, 0.201143),
}

# Prediction, references, BLEU-1, BLEU-2. Where no pair of words is said, the official constants leave 1e-3 of BLEU-1.
KNOWN_CASES = [
    ("a red dog", ["a red dog"], 1.0, 1.0),
    ("A red dog.", ["a red dog"], 1.0, 1.0),
    ("a cat", ["a red dog", "a cat"], 1.0, 1.0),
    ("a a a a", ["a red dog"], 1 / 4, 0.0),
    ("dog red a", ["a red dog"], 1.0, 0.0),
    ("a red dog runs fast", ["a red dog"], 3 / 5, (3 / 5 * 2 / 4) ** 0.5),
    # Shorter than the reference of the closest length; of two equally close, the shorter counts.
    ("dog", ["a red dog"], exp(1 - 3), exp(1 - 3) * 1e-3),
    ("a red dog", ["a red", "a red dog runs"], 1.0, 1.0),
    ("a red dog", ["a red dog runs fast"], exp(1 - 5 / 3), exp(1 - 5 / 3)),
    ("fox", ["a red dog"], 0.0, 0.0),
    ("", ["a red dog"], 0.0, 0.0),
    ("...", ["a red dog"], 0.0, 0.0),
    ("Красный дом", ["красный дом."], 1.0, 1.0),
    ("красный дом", ["красный сад"], 1 / 2, 0.0),
    ("a\u2028red\rdog", ["a red dog"], 1.0, 1.0),
    (LONG, [LONG], 1.0, 1.0),
]


def test_known_cases() -> None:
    records = caption_records(*((said, references) for said, references, *_ in KNOWN_CASES))
    for metric, column in zip(METRICS[:2], (2, 3), strict=True):
        items = metric.measure(records).items
        assert items == pytest.approx([case[column] for case in KNOWN_CASES], abs=1e-6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures(shared: Path, name: str) -> None:
    scores = [metric.measure(fixture_captions(shared, name)).score for metric in METRICS]
    digits = 4 if name in ("good", "bad") else 6
    assert [round(score, digits) for score in scores] == list(PUBLISHED[name])


def test_each_caption_has_its_published_score(shared: Path) -> None:
    records, golden = coco126(shared)
    for metric, name in ((METRICS[0], "Bleu_1"), (METRICS[3], "Bleu_4")):
        published = [item[name] for item in golden["items"]]
        assert metric.measure(records).items == pytest.approx(published, rel=1e-12, abs=1e-15)


def test_the_score_of_any_captions_is_the_official_one_of_them_together(shared: Path) -> None:
    from pycocoevalcap.bleu.bleu import Bleu

    records = [*fixture_captions(shared, "coco126"), *caption_records(("", ["a dog"]), ("ёж", ["ёж", "белый ёж"]))]
    captions = caption_text.tokenized(records)
    generator = np.random.default_rng(1)
    measured = [metric.measure(records) for metric in METRICS]
    for size in (1, 2, 30, len(records)):
        drawn = generator.integers(len(records), size=size)
        official, _ = Bleu(4).compute_score(
            {place: list(captions[number].references) for place, number in enumerate(drawn)},
            {place: [captions[number].prediction] for place, number in enumerate(drawn)},
            verbose=0,
        )
        ours = [float(each.combine(each.statistics[drawn].sum(axis=0))) for each in measured]
        assert ours == pytest.approx(official, rel=1e-13, abs=1e-300)


def test_many_sums_are_combined_at_once(shared: Path) -> None:
    measured = METRICS[3].measure(fixture_captions(shared, "coco126"))
    sums = measured.statistics.reshape(2, 63, -1)
    assert measured.combine(sums).shape == (2, 63)
    assert np.array_equal(measured.combine(sums).ravel(), measured.items)
