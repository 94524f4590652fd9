"""What became of each answer: right, or which kind of wrong.

A model that has learned the form of an answer looks as if it had learned the answer: "The dog is red." scores nothing
where "red" is asked for, and all once the model is brief. So what is wrong only in its form is counted apart, before
and after.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from finesight.evaluate.metrics.choice_parse import option_texts, parse_choice, right_choices
from finesight.evaluate.metrics.metric import Metric
from finesight.evaluate.score import Scored, is_right
from finesight.schema import Record

Outcome = Literal["right", "partly", "other_format", "other_language", "unparsed", "empty", "cut", "written", "wrong"]
OUTCOMES: dict[Outcome, str] = {
    "right": "full marks",
    "partly": "some of the marks, where a metric gives parts",
    "other_format": "names a right answer, and no opposite or other option, among more words",
    "other_language": "most of its letters are of a script that no right answer, or no option, has; a lone letter "
    "tells no script",
    "unparsed": "no option can be read from it",
    "empty": "nothing was said",
    "cut": "ended by the token limit before it was right",
    "written": "something was said, and the metric's scores are no share of right answers",
    "wrong": "none of these",
}
"""Each kind, with its rule. The first that holds is an answer's own, in the order of `outcome_of`."""
_OPPOSITES = ({"yes", "no"}, {"да", "нет"})
_WITHOUT_AN_ALPHABET = ("CJK", "HANGUL")
"""Scripts in which a single letter may be a word."""
_KANA = ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA")


def outcomes_of(scored: Scored) -> list[Outcome]:
    """Return what became of each answer, in the order of the records. What has no score of its own is left out."""
    pairs = zip(scored.records, scored.measured.items, strict=True)
    return [outcome_of(record, score, scored.metric) for record, score in pairs if score == score]


def count_outcomes(scored: Scored) -> dict[str, int]:
    """Return how many answers were of each kind; nothing where a metric scores no answers, as perplexity."""
    if not scored.metric.scale.higher_is_better:
        return {}
    counts = Counter(outcomes_of(scored))
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def count_became_right(before: Scored, after: Scored) -> dict[str, int]:
    """Return of the answers that became right what they were before. Both must be in one order (`align`)."""
    pairs = zip(outcomes_of(before), outcomes_of(after), strict=True)
    counts: Counter[Outcome] = Counter(first for first, second in pairs if second == "right" and first != "right")
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def outcome_of(record: Record, score: float, metric: Metric) -> Outcome:
    """Return what became of an answer. A right answer is right however it ended."""
    if is_right(metric, score):
        return "right"
    if not record.prediction.strip():
        return "empty"
    if _is_in_another_language(record):
        return "other_language"
    if metric.scale.binary and _names_a_right_answer(record, metric):
        return "other_format"
    if record.finish_reason == "length":
        return "cut"
    if metric.can_read is not None and not metric.can_read(record):
        return "unparsed"
    if not metric.scale.percent:
        return "written"
    return "partly" if not metric.scale.binary and score > metric.scale.low else "wrong"


def script_of(text: str) -> str:
    """Return the script of most of a text's letters, as Unicode names it ("LATIN", "CYRILLIC"); "" without letters.

    A full-width letter is the letter that it is a form of. Japanese mixes kana with Chinese characters: all are "CJK".
    """
    letters = (letter for letter in unicodedata.normalize("NFKC", text) if letter.isalpha())
    scripts = Counter(map(_script_of_letter, letters))
    return scripts.most_common(1)[0][0] if scripts else ""


@lru_cache(maxsize=4096)
def _script_of_letter(letter: str) -> str:
    script = unicodedata.name(letter, "").split(" ")[0]
    return "CJK" if script in _KANA else script


def _is_in_another_language(record: Record) -> bool:
    expected = {_script_told(text) for text in _texts_of_its_language(record)}
    found = _script_told(record.prediction)
    if not found or not expected or "" in expected or found in expected:
        return False
    return not record.choices or parse_choice(record) is None


def _script_told(text: str) -> str:
    """Return the script of a text that is more than a letter, as `script_of` does; "" of one that tells none.

    A letter alone is a sign for something: Russian options may be called A, B and C, and "N" may stand for any "no".
    """
    script = script_of(text)
    return script if script in _WITHOUT_AN_ALPHABET or sum(map(str.isalpha, text)) > 1 else ""


def _texts_of_its_language(record: Record) -> Iterable[str]:
    """Return what is in the language of an answer: the right ones; where there are options, those that have letters."""
    if not record.choices:
        return record.references
    return (text for text in option_texts(record).values() if _script_told(text))


def _names_a_right_answer(record: Record, metric: Metric) -> bool:
    """Return whether a right answer stands among the words of an answer, and nothing that contradicts it.

    Where there are options and one can be read from the answer, that one counts, whatever else is said.
    """
    places = right_choices(record) if record.choices else frozenset()
    chosen = parse_choice(record) if record.choices else None
    if chosen is not None and places:
        return chosen in places
    options = option_texts(record)
    right_texts = [options[place] for place in places] or record.references
    right = [metric.normalise(text).split() for text in right_texts]
    said = metric.normalise(record.prediction).split()
    named = [words for words in right if _contains(said, words)]
    if not named:
        return False
    others = [metric.normalise(text).split() for text in options.values()]
    return not any(
        _contains(said, words) for words in (*others, *_opposites(named)) if words not in right
    )  # fmt: skip


def _opposites(named: list[list[str]]) -> list[list[str]]:
    return [
        [opposite]
        for pair in _OPPOSITES
        for words in named
        if len(words) == 1 and words[0] in pair
        for opposite in pair - set(words)
    ]


def _contains(text: list[str], words: list[str]) -> bool:
    """Return whether `words` stand in `text`, one after another."""
    if not words:
        return False
    return any(text[start : start + len(words)] == words for start in range(len(text) - len(words) + 1))
