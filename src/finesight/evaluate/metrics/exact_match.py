"""Exact match: an answer is right when it says the same as a reference, however it is typed."""

from __future__ import annotations

import unicodedata

from finesight.evaluate.metrics.metric import Metric, mean_of
from finesight.schema import Record

RULE = (
    "An answer is right when it equals one of the references after both are brought to one form: Unicode NFKC, "
    "lower case (case folding), punctuation, symbols and invisible characters removed (but for a mark between two "
    "digits, as in 2.5 or 1/2, and a minus before a number), runs of white space made one space. Articles stay. "
    "A text of which nothing would be left is compared as it stands."
)


def score(record: Record) -> float:
    """Return 1.0 when the prediction equals a reference after `normalise`, else 0.0."""
    prediction = normalise(record.prediction)
    return float(any(prediction == normalise(reference) for reference in record.references))


def normalise(text: str) -> str:
    """Return the form in which two answers are compared, as `RULE` says it; "" only for white space."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("\u2212", "-")
    kept = (character for place, character in enumerate(folded) if _counts(folded, place))
    return " ".join("".join(kept).split()) or text.strip()


def _counts(text: str, place: int) -> bool:
    """Return whether the character at `place` makes a difference between answers."""
    category = unicodedata.category(text[place])
    if category == "Cf":
        return False
    if category[0] not in "PS":
        return True
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if not after.isdigit():
        return False
    return before.isdigit() or (text[place] == "-" and not before.isalnum())


METRIC = Metric("exact_match", RULE, "finesight", mean_of(score), normalise)
