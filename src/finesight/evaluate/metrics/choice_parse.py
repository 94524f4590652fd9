"""Which option a free answer chooses: read where it says so, and never guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from string import ascii_uppercase

from finesight.evaluate.metrics import exact_match
from finesight.evaluate.metrics.visible import visible
from finesight.schema import Record

_NOT_THERE = frozenset({"", "nan"})
"""What tables hold for an option that a question does not have."""
_LOOK_ALIKES = str.maketrans("АВСЕНКМОРТХ", "ABCEHKMOPTX")
"""Cyrillic capitals by the Latin ones that look the same."""
_WORDS = frozenset("AEIOYАВИКОСУЯ")
"""Letters that are words of their own in some language, as an article or a preposition."""
_OPENING, _CLOSING = r"(\[{\"'«“*", r")\]}\"'»”*.,:;!"
_LABEL = re.compile(
    rf"[\s{_OPENING}]*(?P<name>\w{{1,4}})(?P<mark>[{_CLOSING}]*)(?P<gap>\s+[-–—]\s+|\s+|$)(?P<rest>.*)", re.DOTALL
)
"""A short word at the beginning, which is a letter in `B`, `(b)`, `B. a cat`, and none in `A dog`."""
_LEAD_IN = re.compile(
    r"\b(?:answer|option|choice|letter|ответ(?:а|ом)?|вариант|буква)\b\s*"
    r"(?P<sign>(?:is|это|является)\b\s*:?|[:=–—-])?\s*",
    re.IGNORECASE,
)
"""What announces an answer. Behind a sign may stand an option's text, without one only a letter."""
_STANDING_ALONE = re.compile(r"(?<![\w'’])(?P<name>\w{1,4})(?!\w)(?=(?P<word>\s+\w)?)")
_ARTICLE = re.compile(r"(?:a|an|the)\s+(?=\S)", re.IGNORECASE)


def parse_choice(record: Record) -> int | None:
    """Return the place in `choices` of the option that the prediction chooses, or None where it cannot be told.

    An option is chosen by its letter, alone or marked as a letter (`B`, `(b)`, `B. a cat`, `Answer: B`, `Ответ: Б`), or
    by its own text. Upper and lower case, Cyrillic and Latin letters that look the same, and full-width ones are one.
    A letter counts before a text: where the answer is `B`, option B is meant, though option A may read "B".

    What names no option, or more than one, is None: `A dog` (an article), `Beautiful`, `A or B`, `B. blue` where blue
    is option C, the text of two equal options, and an option `nan`, which tables hold where there is none.
    """
    options = _Options.of(record)
    said = set(_read(options, _shown(record.prediction)))
    return said.pop() if len(said) == 1 else None


def right_choices(record: Record) -> frozenset[int]:
    """Return the places of the right options; none when a reference is neither a letter nor the text of an option."""
    options = _Options.of(record)
    places = {options.plainly(_shown(reference)) for reference in record.references}
    return frozenset(place for place in places if place is not None) if None not in places else frozenset()


def option_texts(record: Record) -> dict[int, str]:
    """Return the options that may be chosen, by their places: not those that tables fill up with `nan`."""
    return {place: _shown(text) for place, text in enumerate(record.choices) if text.strip() not in _NOT_THERE}


def normalise(text: str) -> str:
    """Return the form in which two answers count as the same: a letter's, or that of exact_match."""
    same = exact_match.normalise(text)
    return _one_form(same) if len(same) == 1 else same


@dataclass(frozen=True)
class _Options:
    """What may be chosen."""

    texts: Mapping[int, str]
    """The options that are there, by their places."""
    places: Mapping[str, int]
    """The place of each letter."""

    @classmethod
    def of(cls, record: Record) -> _Options:
        texts = option_texts(record)
        letters = record.letters or tuple(ascii_uppercase)
        places = {_one_form(letter): place for place, letter in enumerate(letters) if place in texts}
        if "B" in places and all(map(str.isascii, letters)):
            # The second letter of the alphabet, with the sound of B, and like no Latin letter.
            places["Б"] = places["B"]
        return cls(texts, places)

    def named(self, name: str) -> int | None:
        """Return the place of the option that is called so."""
        return self.places.get(_one_form(name))

    def alone(self, text: str) -> int | None:
        """Return the place of the option whose letter is all that a text says."""
        label = _LABEL.match(text)
        return self.named(label["name"]) if label and not label["rest"] else None

    def worded(self, text: str) -> int | None:
        """Return the place of the only option with this text: as it is typed, else in one form, else but for articles.

        None where there is no such option, or several.
        """
        for form in _FORMS:
            wanted = form(text)
            if places := [place for place, option in self.texts.items() if form(option) == wanted]:
                return places[0] if len(places) == 1 else None
        return None

    def plainly(self, text: str) -> int | None:
        """Return the place of the option that a text is the letter of, or else the wording."""
        place = self.alone(text)
        return self.worded(text) if place is None else place


def _read(options: _Options, answer: str) -> Iterator[int]:
    """Yield the place of every option that an answer names."""
    if (place := options.plainly(answer)) is not None:
        yield place
        return
    yield from _read_label(options, answer)
    for lead_in, announced in _announced(answer):
        place = options.plainly(announced) if lead_in["sign"] else options.alone(announced)
        if place is None:
            yield from _read_label(options, announced)
        else:
            yield place


def _read_label(options: _Options, text: str) -> Iterator[int]:
    """Yield what is named by a letter that has something behind it, and by what stands there."""
    label = _LABEL.match(text)
    place = options.named(label["name"]) if label else None
    if label is None or place is None:
        return
    worded = options.worded(label["rest"])
    if worded is not None and (worded == place or _is_marked(label)):
        yield from (place, worded)
    elif worded is None and _is_marked(label):
        yield place
        yield from _mentioned(options, label["rest"])


def _is_marked(label: re.Match[str]) -> bool:
    """Return whether what stands at the beginning is a letter by its looks, and not a word as in "A dog"."""
    return not set(label["mark"]).isdisjoint(")]},.:;*") or not label["gap"].isspace() or "\n" in label["gap"]


def _mentioned(options: _Options, text: str) -> Iterator[int]:
    """Yield the options whose letters stand alone in a text, but for those that may be words."""
    for alone in _STANDING_ALONE.finditer(text):
        place = options.named(alone["name"])
        if place is not None and not (alone["word"] and alone["name"].upper() in _WORDS):
            yield place


def _announced(answer: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each "the answer is" with what stands behind it, up to the next."""
    lead_ins = list(_LEAD_IN.finditer(answer))
    for lead_in, following in zip_longest(lead_ins, lead_ins[1:]):
        yield lead_in, answer[lead_in.end() : following.start() if following else None].strip()


def _shown(text: str) -> str:
    """Return what a reader sees of a text, every line break the same."""
    return "\n".join(visible(text).strip().splitlines())


def _one_form(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter).strip().upper().translate(_LOOK_ALIKES)


@lru_cache(maxsize=4096)
def _alike(text: str) -> str:
    return exact_match.normalise(text).replace("ё", "е")


def _without_article(text: str) -> str:
    article = _ARTICLE.match(text)
    return _alike(text[article.end() :] if article else text)


_FORMS: tuple[Callable[[str], str], ...] = (str.strip, _alike, _without_article)
