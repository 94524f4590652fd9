"""CIDEr of captions."""

from __future__ import annotations

from pathlib import Path

import pytest
from caption_records import LONG, caption_records, coco126, fixture_captions, needs_java

from finesight.errors import DataError
from finesight.evaluate.metrics.cider import METRIC

PUBLISHED = {"coco126": 0.627722, "good": 0.5637, "bad": 0.2790, "nlg_eval": 1.242192}

KNOWN_CASES = [
    ("red dogs run fast", ["red dogs run fast"], 10.0),
    ("Red dogs run fast.", ["red dogs run fast"], 10.0),
    ("blue cats sleep now", ["blue cats sleep now", "nobody knows this one"], 5.0),
    ("nothing of it", ["white ships sail away"], 0.0),
    ("", ["green trees stand still"], 0.0),
    ("Чёрный кот спит тут", ["чёрный кот спит тут"], 10.0),
    ("old\u2028men\rwalk home", ["old men walk home"], 10.0),
    (LONG, ["a brown dog"], 0.0),
]


@needs_java
def test_known_cases() -> None:
    measured = METRIC.measure(caption_records(*((said, references) for said, references, _ in KNOWN_CASES)))
    assert measured.items == pytest.approx([score for *_, score in KNOWN_CASES], abs=1e-9)


@needs_java
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures(shared: Path, name: str) -> None:
    digits = 4 if name in ("good", "bad") else 6
    assert round(METRIC.measure(fixture_captions(shared, name)).score, digits) == PUBLISHED[name]


@needs_java
def test_each_caption_has_its_published_score(shared: Path) -> None:
    records, golden = coco126(shared)
    published = [item["CIDEr"] for item in golden["items"]]
    assert METRIC.measure(records).items == pytest.approx(published, rel=1e-9, abs=1e-12)


@needs_java
def test_a_word_that_every_image_has_weighs_nothing() -> None:
    measured = METRIC.measure(caption_records(("dog", ["a dog"]), ("dog", ["one dog"])))
    assert measured.items.tolist() == [0.0, 0.0]


def test_a_single_caption_has_no_weights() -> None:
    with pytest.raises(DataError, match="at least 2 records"):
        METRIC.measure(caption_records(("a red dog", ["a red dog"])))


@needs_java
def test_references_without_a_word_have_no_weights() -> None:
    with pytest.raises(DataError, match="no reference has a word"):
        METRIC.measure(caption_records(("a red dog", ["..."]), ("a cat", [""])))
