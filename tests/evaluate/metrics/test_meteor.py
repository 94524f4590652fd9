"""METEOR of captions."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from caption_records import LONG, caption_records, coco126, fixture_captions, needs_java

from finesight.errors import FinesightError
from finesight.evaluate.metrics import caption_text, meteor
from finesight.evaluate.metrics.java import KeptProgram, answer_lines
from finesight.evaluate.metrics.meteor import METRIC
from finesight.evaluate.metrics.metric import Values

pytestmark = needs_java

PUBLISHED = {"coco126": 0.205084, "good": 0.3444, "bad": 0.1861, "nlg_eval": 0.295797}


def _score(precision: float, recall: float, breaks: float) -> float:
    """Return the paper's formula with the parameters for English."""
    return (1 - 0.6 * breaks**0.2) / (0.15 / precision + 0.85 / recall)


KNOWN_CASES = [
    ("a red dog", ["a red dog"], 1.0),
    ("A red dog.", ["a cat", "a red dog"], 1.0),
    ("fox", ["a red dog"], 0.0),
    ("", ["a red dog"], 0.0),
    ("", [""], 0.0),
    ("a dog", [""], 0.0),
    ("a ||| red dog", ["a ||| red dog"], 1.0),
    ("a\u2028red\rdog", ["a red dog"], 1.0),
    ("красный дом", ["красный дом"], 1.0),
    ("красный дом", ["синий лес"], 0.0),
    # Of 2,502 words, 834 of them function words, 2 and 1 match, in one chunk of 3.
    (LONG, ["a brown dog"], _score(precision=(0.75 * 2 + 0.25) / (0.75 * 1668 + 0.25 * 834), recall=1, breaks=1 / 3)),
]


def _official(*drawn: Values) -> list[list[float]]:
    """Return the program's own scores for each set of statistics: that of each caption, then that of all together."""
    from pycocoevalcap.meteor import meteor as official

    requests = [" ||| ".join(["EVAL", *(" ".join(map(str, row)) for row in rows.tolist())]) for rows in drawn]
    arguments = ["-Xmx2G", "-jar", official.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
    scores = map(float, answer_lines("METEOR", arguments, requests, Path(official.__file__).parent))
    return [list(islice(scores, len(rows) + 1)) for rows in drawn]


def test_known_cases() -> None:
    measured = METRIC.measure(caption_records(*((said, references) for said, references, _ in KNOWN_CASES)))
    assert measured.items == pytest.approx([score for *_, score in KNOWN_CASES], abs=1e-9)


def test_the_published_figures(shared: Path) -> None:
    fixtures = {name: fixture_captions(shared, name) for name in PUBLISHED}
    measured = METRIC.measure([record for records in fixtures.values() for record in records])
    published = [item["METEOR"] for item in coco126(shared)[1]["items"]]
    assert measured.items[: len(published)] == pytest.approx(published, rel=1e-12)
    end = 0
    for name, records in fixtures.items():
        start, end = end, end + len(records)
        score = float(measured.combine(measured.statistics[start:end].sum(axis=0)))
        assert round(score, 4 if name in ("good", "bad") else 6) == PUBLISHED[name]


def test_the_formula_is_the_programs_own(shared: Path) -> None:
    odd = caption_records(
        *((said, references) for said, references, _ in KNOWN_CASES),
        ("two dogs", ["two dog"]),
        ("a big dog", ["a large dog"]),
        ("he is able to run", ["he can run"]),
        ("dog red a", ["a red dog"]),
        ("a brown dog and a brown dog", ["a small brown dog on the grass", "one brown dog"]),
    )
    aligned = meteor.align(caption_text.tokenized([*coco126(shared)[0], *odd]))
    measured = meteor.score(aligned)
    drawn = np.random.default_rng(1).integers(len(measured.items), size=(3, 40))
    chosen = [np.arange(len(measured.items)), *drawn]
    for rows, (*items, score) in zip(chosen, _official(*(aligned[rows] for rows in chosen)), strict=True):
        assert measured.items[rows] == pytest.approx(items, rel=1e-12)
        assert float(measured.combine(measured.statistics[rows].sum(axis=0))) == pytest.approx(score, rel=1e-12)


def test_the_mark_between_fields_becomes_no_field() -> None:
    request = meteor._request(caption_text.Caption("a|||dog", ("one|||dog", "")))
    assert request == "SCORE ||| one dog |||  ||| a dog"


@pytest.mark.parametrize("printed", [["1.0 2.0"], ["Error: specify METEOR stats"]])
def test_what_is_no_statistics_is_refused(monkeypatch: pytest.MonkeyPatch, printed: list[str]) -> None:
    monkeypatch.setattr(KeptProgram, "answer", lambda *_: printed)
    with pytest.raises(FinesightError, match="METEOR did not give 23 numbers for each of 1 captions"):
        meteor.align([caption_text.Caption("a dog", ("a dog",))])
