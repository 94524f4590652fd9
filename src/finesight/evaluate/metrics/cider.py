"""CIDEr of captions, as the COCO caption evaluation computes it: what the literature calls CIDEr-D.

A word's weight is how few of the images at hand have it in a reference. So a caption's score depends on which images
it is measured with, and the scores of two sets of images cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from finesight.errors import DataError
from finesight.evaluate.metrics import caption_text
from finesight.evaluate.metrics.metric import Measured, Metric, Scale, measure_mean
from finesight.schema import Record

RULE = (
    "Ten times the mean cosine between the n-grams (n from 1 to 4) of the caption and of each reference, an n-gram "
    "weighing the more the fewer of the records have it in a reference, lowered where lengths differ; then the mean "
    f"over captions. {caption_text.RULE}"
)


def measure(records: Sequence[Record]) -> Measured:
    """Return CIDEr, 0 to 10; the score of records is the mean of theirs, with the weights of all `records`.

    For the score of some of them, take their share of the statistics: measuring them alone gives other weights.
    Raises `DataError` for a single record and for references without a word, where there are no weights (the official
    code gives a perfect caption 0); else as `caption_text.tokenized` does.
    """
    if len(records) < 2:
        raise DataError(
            "cider needs at least 2 records: it weighs words by how many of the others have them",
            hint="bleu_4, rouge_l, meteor and chrf can score a single caption",
        )
    captions = caption_text.tokenized(records)
    if not any(reference for caption in captions for reference in caption.references):
        raise DataError("cider: no reference has a word in it", hint="references are captions, in words")
    from pycocoevalcap.cider.cider import Cider

    _, items = Cider().compute_score(
        {number: list(caption.references) for number, caption in enumerate(captions)},
        {number: [caption.prediction] for number, caption in enumerate(captions)},
    )
    return measure_mean(items)


METRIC = Metric(
    name="cider",
    rule=RULE,
    source="Vedantam et al. 2015; https://github.com/salaniz/pycocoevalcap, cider/cider_scorer.py",
    measure=measure,
    normalise=caption_text.normalise,
    scale=Scale(high=10.0, percent=False, binary=False),
)
