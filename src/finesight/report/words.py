"""What the pages and the terminal call things, and how texts from data are made to fit."""

from __future__ import annotations

from collections.abc import Mapping

from finesight import numerals

PREDICTORS: Mapping[str, str] = {
    "before": "Before tuning",
    "after": "After tuning",
    "blind": "After, question alone",
    "majority": "Majority answer",
    "majority_by_question_type": "Majority by question type",
}
"""Every predictor in the order in which it is shown."""

ROLES: Mapping[str, str] = {
    "held_out": "what the verdict is on",
    "forgetting": "kept or lost",
    "memorization": "examples that were learned",
}
OUTCOMES: Mapping[str, str] = {
    "right": "Right",
    "partly": "Partly right",
    "other_format": "Right answer among other words",
    "other_language": "In another script",
    "unparsed": "No option to be read from it",
    "empty": "No answer at all",
    "cut": "Cut at the token limit",
    "written": "Answered",
    "wrong": "Wrong",
}


def continued_sentence(run: str) -> str:
    """Return what "before" means in a run that continued an earlier one."""
    return f'The run continued an earlier one ({run}), whose tuned model is its "before".'


def shorten(text: str, most: int) -> str:
    """Return `text`, cut at `most` characters with a mark where it is longer."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def one_line(text: str) -> str:
    """Return `text` with its line ends shown, so that an answer of many lines takes no page of its own."""
    return " ↵ ".join(line.strip(" ") for line in text.strip(" \n").split("\n"))


def share_of(part: int | None, whole: int) -> str:
    """Return how many of all, and as a share: `41 (20.5 %)`; a dash where it was not counted."""
    if part is None or not whole:
        return numerals.NOT_MEASURED
    return f"{numerals.count(part)} ({numerals.percent(part / whole)})"


def lower_first(words: str) -> str:
    """Return words as they stand within a sentence."""
    return words[0].lower() + words[1:]
