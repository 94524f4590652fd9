"""METEOR 1.5 of captions, as the COCO caption evaluation runs it. For English alone.

The Java program aligns each caption with its references and gives 23 numbers for the best of them. They add up over
captions, and a formula on the sums is the program's own score of them all: a test holds it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from finesight.errors import FinesightError
from finesight.evaluate.metrics import caption_text
from finesight.evaluate.metrics.caption_text import Caption
from finesight.evaluate.metrics.java import KeptProgram
from finesight.evaluate.metrics.metric import UNIT_SCORE, Measured, Metric, Values
from finesight.schema import Record

RULE = (
    "Words of the caption aligned with those of the best reference, as exact words, stems, synonyms and paraphrases; "
    "a weighted F of precision and recall, lowered for every break in the order; over all captions together, by "
    f"METEOR 1.5 with its English parameters. {caption_text.RULE}"
)

_NUMBERS = 23
# The program's own for English (Denkowski and Lavie 2014, tuned for ranking).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.20, 0.60, 0.75
_MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Exact word, stem, synonym, paraphrase."""


def measure(records: Sequence[Record]) -> Measured:
    """Return METEOR; statistics are float[records, 23].

    Raises as `caption_text.tokenized` does, and `FinesightError` when METEOR fails.
    """
    return score(align(caption_text.tokenized(records)))


def score(aligned: Values) -> Measured:
    """Return the scores of captions by what `align` gave of them.

    A caption that matches from end to end is one chunk and has no break. In the paper it counts as any other; the
    program, alone or with others, leaves its chunk out, and so does this.
    """
    matches_throughout = (aligned[:, 20] == 1) & (aligned[:, 21:23] == aligned[:, 0:2]).all(axis=1)
    statistics = aligned.copy()
    statistics[matches_throughout, 20] = 0
    return Measured(combine(statistics), statistics, combine)


def align(captions: Sequence[Caption]) -> Values:
    """Return METEOR's statistics of each caption: float[captions, 23].

    They are the words of the caption and of the reference, the function words of both, then for each of four modules
    the matched content words of both and the matched function words of both, then the chunks of the alignment, and
    the matched words of both.
    """
    program = _open_program()
    lines = program.answer([_request(caption) for caption in captions])
    try:
        return np.array([[float(number) for number in line.split()] for line in lines]).reshape(len(captions), _NUMBERS)
    except ValueError:
        program.end()  # what it still says would be taken for the next answers
        raise FinesightError(f"METEOR did not give {_NUMBERS} numbers for each of {len(captions):,} captions") from None


@cache
def _open_program() -> KeptProgram:
    """Return METEOR's program, one for all that is scored in this process."""
    from pycocoevalcap.meteor import meteor

    arguments = ("-Xmx2G", "-jar", meteor.METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm")
    return KeptProgram("METEOR", arguments, Path(meteor.__file__).parent)


def _request(caption: Caption) -> str:
    """Return the line that asks for a caption's statistics; what parts its fields must not stand in them."""
    texts = (*caption.references, caption.prediction)
    return " ||| ".join(("SCORE", *(text.replace("|||", " ") for text in texts)))


def combine(sums: Values) -> Values:
    """Return METEOR's formula on sums of statistics: float[..., 23] to float[...]; 0 where no word matched."""
    words, function_words = sums[..., 0:2], sums[..., 2:4]
    matched = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 4)
    chunks, matched_words = sums[..., 20], sums[..., 21:23]
    content_matched, function_matched = _MODULE_WEIGHTS @ matched[..., 0:2], _MODULE_WEIGHTS @ matched[..., 2:4]
    found = _DELTA * content_matched + (1 - _DELTA) * function_matched
    said = _DELTA * (words - function_words) + (1 - _DELTA) * function_words
    with np.errstate(divide="ignore", invalid="ignore"):
        precision_and_recall = found / said
        precision, recall = precision_and_recall[..., 0], precision_and_recall[..., 1]
        mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        fragmentation = chunks / matched_words.mean(axis=-1)
        scores = mean * (1 - _GAMMA * fragmentation**_BETA)
    return np.asarray(np.where(found.all(axis=-1), scores, 0.0))


METRIC = Metric(
    name="meteor",
    rule=RULE,
    source="Denkowski and Lavie 2014; https://github.com/salaniz/pycocoevalcap, meteor/meteor-1.5.jar",
    measure=measure,
    normalise=caption_text.normalise,
    scale=UNIT_SCORE,
)
