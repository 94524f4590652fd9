"""sacrebleu's BLEU and chrF."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from caption_records import LONG, caption_records, fixture_captions
from hypothesis import given, settings
from hypothesis import strategies as st

from finesight.errors import DataError, UserError
from finesight.evaluate.metrics.any_language import METRICS
from finesight.evaluate.metrics.metric import Metric

pytest.importorskip("sacrebleu")
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

SACREBLEU, CHRF_METRIC = METRICS

# Prediction, references, sacrebleu, chrF. Of ё and е, "ёж" and "еж" share one character of two, and no pair.
KNOWN_CASES = [
    ("a red dog runs fast", ["a red dog runs fast"], 100.0, 100.0),
    ("a red dog", ["a cat", "a red dog"], 100.0, 100.0),
    ("да", ["да"], 100.0, 100.0),
    ("Красный дом стоит у реки.", ["Красный дом стоит у реки."], 100.0, 100.0),
    ("ёж", ["еж"], 0.0, 25.0),
    ("дом", ["лес"], 0.0, 0.0),
    ("", ["a red dog"], 0.0, 0.0),
    ("שלום עולם", ["שלום עולם"], 100.0, 100.0),
    ("一只红色的狗", ["一只红色的狗"], 100.0, 100.0),
    ("a\u2028red\rdog", ["a red dog"], 100.0, 100.0),
    (LONG, [LONG], 100.0, 100.0),
]


def test_known_cases() -> None:
    records = caption_records(*((said, references) for said, references, *_ in KNOWN_CASES))
    for metric, column in ((SACREBLEU, 2), (CHRF_METRIC, 3)):
        assert metric.measure(records).items == pytest.approx([case[column] for case in KNOWN_CASES], abs=1e-6)


texts = st.text(alphabet="аёбв abc.,!", max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_the_scores_are_sacrebleus_own(captions: list[tuple[str, list[str]]]) -> None:
    predictions = [said for said, _ in captions]
    longest = max(len(references) for _, references in captions)
    streams = [
        [references[place] if place < len(references) else None for _, references in captions]
        for place in range(longest)
    ]
    for metric, corpus, sentence in (
        (SACREBLEU, BLEU(), BLEU(effective_order=True)),
        (CHRF_METRIC, CHRF(), CHRF()),
    ):
        measured = metric.measure(caption_records(*captions))
        assert measured.score == corpus.corpus_score(predictions, streams).score
        assert measured.items.tolist() == [sentence.sentence_score(*caption).score for caption in captions]


@pytest.mark.parametrize("metric", METRICS)
def test_the_score_of_any_captions_follows_from_their_sums(shared: Path, metric: Metric) -> None:
    records = fixture_captions(shared, "coco126")
    measured = metric.measure(records)
    drawn = np.random.default_rng(1).integers(len(records), size=(3, 40))
    together = measured.combine(measured.statistics[drawn].sum(axis=1))
    assert together.tolist() == [metric.measure([records[number] for number in row]).score for row in drawn]


@pytest.mark.parametrize("metric", METRICS)
def test_records_without_references_are_refused(metric: Metric) -> None:
    with pytest.raises(DataError, match="1 of 2 records have no reference: 1"):
        metric.measure(caption_records(("a", ["a"]), ("b", [])))


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="sacrebleu, which is not installed"):
        SACREBLEU.measure(caption_records(("a", ["a"])))
