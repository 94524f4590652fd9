"""The page's account of leaks: what was measured on and learned from, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finesight import numerals
from finesight.report.files import Content
from finesight.report.thumbnails import data_uri

_LOOK_ALIKE = "look-alike image"
_NAMED = 3


@dataclass(frozen=True)
class LeakSide:
    """One of two examples."""

    set: str
    name: str
    image: str
    """The picture as a data URI."""


@dataclass(frozen=True)
class LeakPair:
    """An example that is measured on, and one that is learned from, both shown."""

    evaluated: LeakSide
    learned: LeakSide
    distance: str
    """In words how far apart two look-alikes are, or nothing."""


@dataclass(frozen=True)
class LeakRow:
    """One way in which an evaluation set overlaps what was learned."""

    sentence: str
    first: str
    pairs: tuple[LeakPair, ...]


def leak_row(leak: Content, folder: Path) -> LeakRow:
    """Return a leak of data.json in words, with the first pairs of which the run folder keeps both pictures."""
    pairs = (_pair(leak, pair, folder) for pair in leak.get("pairs", []))
    return LeakRow(
        sentence=_sentence(leak),
        first=", ".join(leak.get("first", [])[:_NAMED]),
        pairs=tuple(pair for pair in pairs if pair.evaluated.image and pair.learned.image),
    )


def _sentence(leak: Content) -> str:
    shared = "look like some of" if leak["kind"] == _LOOK_ALIKE else "are also in"
    return (
        f"{leak['kind'].capitalize()}: {numerals.count(leak['groups'])}, in "
        f"{numerals.plural(leak['examples'], 'example')} of {leak['evaluation_set']}, {shared} {leak['learned_set']}."
    )


def _pair(leak: Content, pair: Content, folder: Path) -> LeakPair:
    evaluated, learned = (
        LeakSide(leak[of], pair[side]["name"], data_uri(folder, pair[side].get("thumbnail", "")))
        for side, of in (("evaluated", "evaluation_set"), ("learned", "learned_set"))
    )
    return LeakPair(evaluated, learned, f"{pair['distance']} of 64 bits apart" if "distance" in pair else "")
