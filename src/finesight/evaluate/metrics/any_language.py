"""BLEU and chrF for texts of any language, by sacrebleu: 0 to 100, without Java.

sacrebleu's BLEU is that of translation, with its own tokenizer and smoothing, capital letters and punctuation: its
numbers are not those of `bleu_4`. Its tokenizer, 13a, parts words at spaces; for Chinese, Japanese or Thai, which write
none, use chrF.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from finesight.evaluate.metrics.caption_text import require_captions_extra, require_references
from finesight.evaluate.metrics.metric import Measured, Metric, Scale, Values
from finesight.schema import Record

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer

SOURCE = "Post 2018; https://github.com/mjpost/sacrebleu"
SCALE = Scale(high=100.0, percent=False, binary=False)


def measure_bleu(records: Sequence[Record]) -> Measured:
    """Return sacrebleu's BLEU (13a, smoothing exp); the score of records is its `corpus_score`.

    A record's own score is its `sentence_score`, which does not ask a text of three words for four in a row, as the
    corpus' does. Raises `UserError` where sacrebleu is missing, `DataError` for a record without references.
    """
    require_captions_extra("sacrebleu")
    from sacrebleu.metrics.bleu import BLEU

    return _measure(records, BLEU(force=True), BLEU(effective_order=True))


def measure_chrf(records: Sequence[Record]) -> Measured:
    """Return sacrebleu's chrF (characters to order 6, beta 2). Raises as `measure_bleu` does."""
    require_captions_extra("sacrebleu")
    from sacrebleu.metrics.chrf import CHRF

    return _measure(records, CHRF(), CHRF())


def _measure(records: Sequence[Record], corpus: Scorer, sentence: Scorer) -> Measured:
    """Return what `corpus` says of all records, and `sentence` of each; é is one letter however it is typed (NFC)."""
    require_references(records)
    predictions = [normalize("NFC", record.prediction) for record in records]
    # sacrebleu wants the first references of all, then the second ones, and None where a record has no more.
    streams = list(zip_longest(*([normalize("NFC", text) for text in record.references] for record in records)))
    statistics = np.array(corpus._extract_corpus_statistics(predictions, streams), dtype=np.float64)
    return Measured(_combine(sentence)(statistics), statistics, _combine(corpus))


def _combine(scorer: Scorer) -> Callable[[Values], Values]:
    """Return what makes sums of a scorer's statistics, float[..., statistics], into its scores, float[...].

    These two functions are sacrebleu's own way from texts to statistics to scores, which its bootstrap takes too; it
    names them as its own. A test holds them to its public `corpus_score` and `sentence_score`.
    """

    def score(sums: Values) -> float:
        return float(scorer._compute_score_from_stats(sums.tolist()).score)

    return lambda sums: np.apply_along_axis(score, -1, sums)


METRICS = (
    Metric(
        name="sacrebleu",
        rule="BLEU of all texts together, with n-grams of words up to 4, case and punctuation, as sacrebleu computes "
        "it (tokenizer 13a, smoothing exp), 0 to 100; texts are in Unicode NFC.",
        source=SOURCE,
        measure=measure_bleu,
        normalise=lambda text: " ".join(text.split()),
        scale=SCALE,
    ),
    Metric(
        name="chrf",
        rule="F of n-grams of characters up to 6, recall weighing twice as much, blanks left out, over all texts "
        "together, each with its best reference, as sacrebleu computes chrF, 0 to 100; texts are in Unicode NFC.",
        source=f"Popović 2015; {SOURCE}",
        measure=measure_chrf,
        normalise=lambda text: " ".join(text.split()),
        scale=SCALE,
    ),
)
