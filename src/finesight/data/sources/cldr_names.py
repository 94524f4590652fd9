"""Names of characters, as Unicode's CLDR publishes them for each language (UTS #35, Part 2, "Annotations")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight.data.sources.cells import text_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.json_document import read_document
from finesight.errors import DataError

_SECTIONS = ("annotations", "annotationsDerived")
_FORM = "a CLDR file is {annotations: {identity: {language: ru}, annotations: {…}}}, or annotationsDerived"
_VARIATION_SELECTOR = "\ufe0f"
"""Asks for a character in colour, and is no part of it: CLDR leaves it out."""
_NAMED_CODE_POINTS = 8


@dataclass(frozen=True, slots=True)
class CharacterNames:
    """What characters are called in one language."""

    language: str
    """As CLDR writes it: "ru", or "sr-Latn" where a script or a territory belongs to it."""
    names: Mapping[str, str]
    """By the character without its variation selector."""

    def name_of(self, character: str) -> str | None:
        """Return a character's name, or None where it has none."""
        return self.names.get(_plain(character))


def read_names(files: Iterable[str], data_root: Path) -> CharacterNames:
    """Return the names that the files of one language hold; the first file that names a character counts.

    A name is what CLDR has read aloud for the character (`tts`), on one line. Raises `DataError` for files that are
    missing, not in CLDR's form, or not of one language.
    """
    languages: dict[str, str] = {}
    names: dict[str, str] = {}
    for file in files:
        path = data_root / file
        faults = Faults(str(path))
        section = _section(read_document(path, data_root), faults)
        faults.raise_if_any()
        languages.setdefault(_language(section["identity"], path), file)
        for character, entry in section["annotations"].items():
            name = _spoken(entry, character, faults)
            if name is not None:
                names.setdefault(_plain(character), name)
        faults.raise_if_any()
    if len(languages) > 1:
        told = " and ".join(f"{file} of {language}" for language, file in languages.items())
        raise DataError(f"names are of several languages: {told}", hint="give each language its own entry of `names`")
    return CharacterNames(next(iter(languages)), names)


def _section(document: Any, faults: Faults) -> Mapping[str, dict[str, Any]]:
    """Return CLDR's part of a file, or note in `faults` that there is none."""
    outer = document if isinstance(document, dict) else {}
    for name in _SECTIONS:
        section = outer.get(name)
        if isinstance(section, dict) and all(
            isinstance(section.get(part), dict) for part in ("identity", "annotations")
        ):
            return section
    faults.add("not CLDR's annotations", hint=_FORM)
    return {}


def _language(identity: Mapping[str, Any], path: Path) -> str:
    parts = [identity[part] for part in ("language", "script", "territory") if part in identity]
    if "language" not in identity or not all(isinstance(part, str) and part.isascii() for part in parts):
        raise DataError(f"{path}: its identity names no language", hint=_FORM)
    return "-".join(parts)


def _spoken(entry: Any, character: str, faults: Faults) -> str | None:
    where = " ".join(f"U+{ord(letter):04X}" for letter in character[:_NAMED_CODE_POINTS])
    match entry:
        case {"tts": [name, *_]}:
            spoken = text_of(name, "name", where, faults)
            return None if spoken is None else " ".join(spoken.split())
        case {"tts": _}:
            faults.add("tts is no list of names", where, hint=_FORM)
        case dict():
            pass  # Some have keywords alone.
        case _:
            faults.add("a character's entry is no object", where, hint=_FORM)
    return None


def _plain(character: str) -> str:
    return character.replace(_VARIATION_SELECTOR, "")
