"""GQA-ru's own rule, as lmms-eval applies it: what published figures of this benchmark were counted with."""

from __future__ import annotations

from string import punctuation

from finesight.evaluate.metrics.metric import Metric, mean_of
from finesight.schema import Record

RULE = (
    "An answer is right when it equals one of the references after both are written in lower case and without ASCII "
    "punctuation and surrounding white space. Nothing else is made alike: ё is not е, and white space within counts."
)
_SOURCE = "https://github.com/EvolvingLMMs-Lab/lmms-eval/blob/main/lmms_eval/tasks/gqa_ru/gqa_ru.yaml"
_NO_PUNCTUATION = str.maketrans("", "", punctuation)


def score(record: Record) -> float:
    """Return 1.0 when the prediction equals a reference after `normalise`, else 0.0.

    This is lmms-eval's `exact_match` with `ignore_case` and `ignore_punctuation`, which takes white space from around
    an answer first. It knows of no Unicode forms: an accent that is typed as a letter of its own makes a difference.
    """
    prediction = normalise(record.prediction)
    return float(any(prediction == normalise(reference) for reference in record.references))


def normalise(text: str) -> str:
    """Return the form in which two answers are compared, as `RULE` says it."""
    return text.strip().lower().translate(_NO_PUNCTUATION)


METRIC = Metric("gqa_ru", RULE, _SOURCE, mean_of(score), normalise)
