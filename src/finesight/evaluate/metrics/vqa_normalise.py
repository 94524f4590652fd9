"""The form in which VQA v2's evaluator compares answers: an English rule, with its oddities."""

from __future__ import annotations

import re

SOURCE = "https://github.com/GT-Vision-Lab/VQA/blob/master/PythonEvaluationTools/vqaEvaluation/vqaEval.py"

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32
"""The evaluator hands a flag to `re.sub` where the number of replacements stands; the flag's value is 32."""
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
    he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
    somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
    that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
    weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll
    why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _misspelt() -> dict[str, str]:
    """Return every contraction by each spelling that lacks one of its apostrophes: `dont`, `couldn'tve`.

    Together with the one odd entry, these are all entries of the evaluator's table that can ever apply: it is asked in
    lower case, so that its `Im` and `Ive` are never found.
    """
    spellings = {
        contraction[:place] + contraction[place + 1 :]: contraction
        for contraction in _CONTRACTIONS.split()
        for place, character in enumerate(contraction)
        if character == "'"
    }
    return spellings | {"somebody'd": "somebodyd"}


_MISSPELT = _misspelt()


def normalise(text: str) -> str:
    """Return an answer as VQA v2's official evaluator normalises it; "" where it leaves nothing, as of `a` or `?`.

    Punctuation becomes a space, or nothing where it stands beside a space anywhere in the text or the text has a number
    such as 1,000; periods go unless a digit follows; then lower case, number words up to ten as digits, no articles,
    and apostrophes put into contractions.
    """
    words = _without_punctuation(one_line(text)).lower().split()
    digits = (_DIGITS.get(word, word) for word in words)
    return " ".join(_MISSPELT.get(word, word) for word in digits if word not in _ARTICLES)


def one_line(text: str) -> str:
    """Return a text as the evaluator takes it before all else: without line feeds, tabs and surrounding blanks."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_punctuation(text: str) -> str:
    has_number = _COMMA_IN_NUMBER.search(text) is not None
    for_mark = {
        ord(mark): "" if has_number or f"{mark} " in text or f" {mark}" in text else " " for mark in _MARKS
    }  # fmt: skip
    return _PERIOD.sub("", text.translate(for_mark), count=_MOST_PERIODS)
