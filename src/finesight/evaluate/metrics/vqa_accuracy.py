"""VQA accuracy: an answer is worth what the people who were asked agree with it."""

from __future__ import annotations

from collections.abc import Sequence

from finesight.evaluate.metrics import vqa_normalise
from finesight.evaluate.metrics.metric import GRADED, Metric, mean_of
from finesight.evaluate.metrics.visible import visible
from finesight.schema import Record

_LEAVE_ONE_OUT = (
    "Each reference is left out in turn; the answer gets a third for every other reference that it equals, at most 1; "
    "the mean of all turns counts. Of ten references, 1 equal gives 0.3, 2 give 0.6, 3 give 0.9, 4 or more give 1. "
    "Of fewer than four, none gives 1, but that a single reference is matched or not."
)
RULE = (
    f"{_LEAVE_ONE_OUT} Answers and references are compared in Unicode NFKC without invisible characters, normalised as "
    "the VQA v2 evaluator does."
)
OFFICIAL_RULE = (
    f"{_LEAVE_ONE_OUT} Answers and references are normalised as the VQA v2 evaluator does; but where all references "
    "are the same text, the answer has to be that very text, as in that evaluator."
)


def score(record: Record) -> float:
    """Return the accuracy of the prediction, from 0.0 to 1.0, everything normalised.

    Antol et al. 2015, "VQA: Visual Question Answering", as the evaluator of VQA v2 computes it. Which references are
    equal makes no difference to what is left out: one goes by its position.
    """
    return _agreement(normalise(record.prediction), [normalise(reference) for reference in record.references])


def official_score(record: Record) -> float:
    """Return the accuracy as the official evaluator gives it: references that are all the same stay as they are."""
    references = [vqa_normalise.one_line(reference) for reference in record.references]
    prediction = vqa_normalise.one_line(record.prediction)
    if len(set(references)) == 1:
        return _agreement(prediction, references)
    normalised = [vqa_normalise.normalise(reference) for reference in references]
    return _agreement(vqa_normalise.normalise(prediction), normalised)


def normalise(text: str) -> str:
    """Return what is visible of an answer, normalised by the official rules; ASCII is as these rules leave it."""
    return vqa_normalise.normalise(visible(text))


def _agreement(prediction: str, references: Sequence[str]) -> float:
    """Return the mean, over the references left out one by one, of min(equal among the others / 3, 1)."""
    count, equal = len(references), references.count(prediction)
    if count == 1:
        # Nobody is left to agree with.
        return float(equal)
    thirds = equal * min(equal - 1, 3) + (count - equal) * min(equal, 3)
    return thirds / (3 * count)


METRICS = (
    Metric("vqa_accuracy", RULE, vqa_normalise.SOURCE, mean_of(score), normalise, GRADED),
    Metric(
        "vqa_accuracy_official",
        OFFICIAL_RULE,
        vqa_normalise.SOURCE,
        mean_of(official_score),
        vqa_normalise.normalise,
        GRADED,
    ),
)
