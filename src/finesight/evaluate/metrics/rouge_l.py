"""ROUGE-L of captions, as the COCO caption evaluation computes it."""

from __future__ import annotations

from collections.abc import Sequence

from finesight.evaluate.metrics import caption_text
from finesight.evaluate.metrics.metric import UNIT_SCORE, Measured, Metric, measure_mean
from finesight.schema import Record

RULE = (
    "The longest common subsequence of words with a reference, as a share of the caption's words (precision, of the "
    "reference where it is highest) and of the reference's (recall, of the reference where that is highest), joined "
    f"as F with beta 1.2; then the mean over captions. {caption_text.RULE}"
)


def measure(records: Sequence[Record]) -> Measured:
    """Return ROUGE-L; the score of records is the mean of theirs. Raises as `caption_text.tokenized` does."""
    captions = caption_text.tokenized(records)
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Rouge()
    return measure_mean([scorer.calc_score([caption.prediction], caption.references) for caption in captions])


METRIC = Metric(
    name="rouge_l",
    rule=RULE,
    source="Lin 2004; https://github.com/salaniz/pycocoevalcap, rouge/rouge.py",
    measure=measure,
    normalise=caption_text.normalise,
    scale=UNIT_SCORE,
)
