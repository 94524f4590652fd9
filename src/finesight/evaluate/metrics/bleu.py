"""BLEU-1 to BLEU-4 of captions, as the COCO caption evaluation counts them.

BLEU is a score of all captions together: n-grams found and n-grams said are added up before one is divided by the
other. That of a single caption follows from the same formula, and is rough.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from finesight.evaluate.metrics import caption_text
from finesight.evaluate.metrics.metric import UNIT_SCORE, Measured, Metric, Values
from finesight.schema import Record

SOURCE = "Papineni et al. 2002; https://github.com/salaniz/pycocoevalcap, bleu/bleu_scorer.py"

# The official code's own, so that nothing is divided by 0 and no n-gram found gives (nearly) 0.
_SMALL = 1e-9
_TINY = 1e-15


def rule(order: int) -> str:
    """Return the rule of BLEU with n-grams up to `order`."""
    return (
        f"The geometric mean of the shares of n-grams (n up to {order}) that a reference of the same image holds, over "
        "all captions together, lowered where the captions are shorter than the references of the closest length. "
        f"{caption_text.RULE}"
    )


def measure(records: Sequence[Record], order: int) -> Measured:
    """Return BLEU with n-grams up to `order`; statistics are float[records, 2 order + 2].

    They are the n-grams found for each n, the n-grams said for each n, the words said, and the words of the reference
    whose length is closest (of two, the shorter). Raises as `caption_text.tokenized` does.
    """
    captions = caption_text.tokenized(records)
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    statistics = np.zeros((len(captions), 2 * order + 2))
    for row, caption in zip(statistics, captions, strict=True):
        counted = cook_test(caption.prediction, cook_refs(caption.references, n=order), eff="closest", n=order)
        row[:] = [*counted["correct"], *counted["guess"], counted["testlen"], counted["reflen"]]
    return Measured(combine(statistics), statistics, combine)


def combine(sums: Values) -> Values:
    """Return the official formula on sums of statistics: float[..., 2 order + 2] to float[...]."""
    order = (sums.shape[-1] - 2) // 2
    found, said = sums[..., :order], sums[..., order : 2 * order]
    said_words, reference_words = sums[..., -2], sums[..., -1]
    precision = np.prod((found + _TINY) / (said + _SMALL), axis=-1) ** (1 / order)
    ratio = (said_words + _TINY) / (reference_words + _SMALL)
    return np.asarray(precision * np.exp(np.minimum(0.0, 1 - 1 / ratio)))


METRICS = tuple(
    Metric(
        name=f"bleu_{order}",
        rule=rule(order),
        source=SOURCE,
        measure=partial(measure, order=order),
        normalise=caption_text.normalise,
        scale=UNIT_SCORE,
    )
    for order in (1, 2, 3, 4)
)
