"""Lemma match: an answer is right when it is a reference in another form of its words, as "большой" for "большим"."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from finesight.errors import UserError
from finesight.evaluate.metrics import exact_match
from finesight.evaluate.metrics.metric import Metric, mean_of
from finesight.evaluate.metrics.visible import visible
from finesight.schema import Record

if TYPE_CHECKING:
    from pymorphy3 import MorphAnalyzer

RULE = (
    "An answer is right when exact_match says so, or when it has as many words as a reference, and word by word the "
    "two have a lemma in common. Russian: any parse by pymorphy3 may give it, and ё is е; other languages: simplemma. "
    "The language is what a question's tag `language` says. Without one the alphabet of a word decides: Cyrillic is "
    "taken for Russian, Latin for English, Arabic for Arabic, Devanagari for Hindi; Greek, Armenian, Georgian, Hebrew "
    "and Malayalam have one language each, and words in other alphabets are compared as they are."
)
_SOURCE = "finesight; lemmas by https://github.com/no-plagiarism/pymorphy3 and https://github.com/adbar/simplemma"
_LANGUAGE_OF_ALPHABET = {
    "CYRILLIC": "ru",
    "LATIN": "en",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "HEBREW": "he",
    "ARABIC": "ar",
    "DEVANAGARI": "hi",
    "MALAYALAM": "ml",
}


def score(record: Record) -> float:
    """Return 1.0 when the prediction is a reference in any form of its words, else 0.0.

    The rule of a second score beside exact match for Russian answers, whose cases say nothing of what was seen. The
    tag `language` is a code as `ru` or `de-AT`. Raises `UserError` for a language that simplemma does not have, and
    where the extra `lemmas` is not installed.
    """
    if exact_match.score(record):
        return 1.0
    language = record.tags.get("language", "")
    prediction = _lemmas_of_words(record.prediction, language)
    return float(any(_share(prediction, _lemmas_of_words(reference, language)) for reference in record.references))


def normalise(text: str) -> str:
    """Return a text with the likeliest lemma of each word, in the form in which exact_match compares answers."""
    return exact_match.normalise(" ".join(lemmas[0] for lemmas in _lemmas_of_words(text, "")) or text)


def _share(prediction: Sequence[tuple[str, ...]], reference: Sequence[tuple[str, ...]]) -> bool:
    """Return whether each word has a lemma in common with its counterpart; False where there are no words."""
    if not reference or len(prediction) != len(reference):
        return False
    return not any(set(own).isdisjoint(other) for own, other in zip(prediction, reference, strict=True))


def _lemmas_of_words(text: str, language: str) -> list[tuple[str, ...]]:
    return [_lemmas(word, language or _language_of(word)) for word in _words(text)]


def _words(text: str) -> list[str]:
    """Return the words of a text without the marks around them; marks within stay, as in x-ray, 2.5 and men's."""
    typed = visible(text).replace("\u2212", "-").split()
    return [word for word in map(_without_marks_around, typed) if word]


def _without_marks_around(word: str) -> str:
    """Return a word without the punctuation and symbols around it, but for a minus before a number."""
    bare = word.strip("".join(character for character in word if unicodedata.category(character)[0] in "PS"))
    before = word.partition(bare)[0] if bare else ""
    return f"-{bare}" if before.endswith("-") and bare[0].isdigit() else bare


def _language_of(word: str) -> str:
    """Return the language that the alphabet of a word's first letter stands for, "" for an alphabet of none."""
    letter = next(filter(str.isalpha, word), "")
    return _LANGUAGE_OF_ALPHABET.get(unicodedata.name(letter, "").partition(" ")[0], "") if letter else ""


@lru_cache(maxsize=65536)
def _lemmas(word: str, language: str) -> tuple[str, ...]:
    """Return the possible lemmas of a word, the likeliest first."""
    match re.split("[-_]", language.lower())[0]:
        case "":
            return (word.casefold(),)
        case "ru":
            parses = _russian().parse(_without_yo(word.casefold()))
            return tuple(dict.fromkeys(_without_yo(parse.normal_form) for parse in parses))
        case code:
            return _lemmas_by_dictionary(word, code, language)


def _lemmas_by_dictionary(word: str, code: str, language: str) -> tuple[str, ...]:
    _require("simplemma")
    from simplemma import lemmatize
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    if code not in SUPPORTED_LANGUAGES:
        raise UserError(
            f"lemma_match: there are no lemmas for the language {language}",
            hint=f"the languages are {', '.join(sorted(SUPPORTED_LANGUAGES))}; else score with exact_match",
        )
    # Names, as iPhones, may be known only as they are typed.
    return tuple(dict.fromkeys(lemmatize(form, code).casefold() for form in (word.lower(), word)))


@cache
def _russian() -> MorphAnalyzer:
    _require("pymorphy3")
    from pymorphy3 import MorphAnalyzer

    return MorphAnalyzer(lang="ru")


def _require(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        raise UserError(f"lemma_match needs {library}, which is not installed", hint="pip install 'finesight[lemmas]'")


def _without_yo(text: str) -> str:
    return text.replace("ё", "е")


METRIC = Metric("lemma_match", RULE, _SOURCE, mean_of(score), normalise)
