"""What can be said about scenes: each language says the same things in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from finesight.data.scenes.world import Colour, Relation, Rim, Shape, Sheet, Size, Thing

LETTERS = "ABC"
"""The letters of options, the same in every language."""


class Language(Protocol):
    """The sentences of one language.

    An object is named by its colour and shape. The last six methods are the house's own words, which the general world
    never says.
    """

    yes: str
    no: str

    def colour(self, colour: Colour) -> str:
        """Return the name of a colour, as an answer."""
        ...

    def shape(self, shape: Shape) -> str:
        """Return the name of a shape, as an answer."""
        ...

    def size(self, size: Size) -> str:
        """Return the name of a size, as an answer."""
        ...

    def relation(self, relation: Relation) -> str:
        """Return the name of a side, as an answer."""
        ...

    def is_there(self, shape: Shape, colour: Colour) -> str:
        """Ask whether there is such an object."""
        ...

    def how_many(self, shape: Shape | None = None, colour: Colour | None = None) -> str:
        """Ask for the number of objects: of a shape, of a colour, or of all."""
        ...

    def what_colour(self, shape: Shape, size: Size | None) -> str:
        """Ask for the colour of the only object of a shape, or of a shape and size."""
        ...

    def what_shape(self, colour: Colour, size: Size | None) -> str:
        """Ask for the shape of the only object of a colour, or of a colour and size."""
        ...

    def what_size(self, thing: Thing) -> str:
        """Ask for the size of an object."""
        ...

    def what_size_is_it(self) -> str:
        """Ask for the size of the object that was just spoken of."""
        ...

    def where(self, thing: Thing, other: Thing) -> str:
        """Ask on which side of `other` an object lies."""
        ...

    def is_larger(self, thing: Thing, other: Thing) -> str:
        """Ask whether an object is larger than another."""
        ...

    def describe(self) -> str:
        """Ask for a caption."""
        ...

    def caption(self, things: Sequence[Thing]) -> str:
        """Return what is there, from left to right."""
        ...

    def what_piece(self, thing: Thing) -> str:
        """Ask what the house calls an object."""
        ...

    def piece(self, rim: Rim) -> str:
        """Return what the house calls an object with such a rim, as an answer."""
        ...

    def what_sheet(self) -> str:
        """Ask what the house calls the sheet."""
        ...

    def sheet(self, sheet: Sheet) -> str:
        """Return what the house calls a sheet, as an answer."""
        ...

    def is_there_piece(self, rim: Rim) -> str:
        """Ask whether there is such a piece."""
        ...

    def how_many_pieces(self, rim: Rim) -> str:
        """Ask for the number of such pieces."""
        ...


def with_options(question: str, options: Sequence[str]) -> str:
    """Return a question with its options, a letter and a line each."""
    return "\n".join([question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))])
