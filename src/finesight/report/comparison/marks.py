"""How contenders are told apart in drawings: each has a mark, by shape first and by colour beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

SHAPES = (
    "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0 -4.5 0Z",  # circle
    "M-4.2 -4.2H4.2V4.2H-4.2Z",  # square
    "M0 -5.4L5.2 4H-5.2Z",  # triangle
    "M0 -5.8L5.8 0L0 5.8L-5.8 0Z",  # diamond
    "M0 5.4L5.2 -4H-5.2Z",  # triangle on its tip
    "M-1.8 -5.2H1.8V-1.8H5.2V1.8H1.8V5.2H-1.8V1.8H-5.2V-1.8H-1.8Z",  # cross
    "M-5 -5L5 5V-5L-5 5Z",  # bow
    "M-5 -4.6H5L-5 4.6H5Z",  # hourglass
)
"""Paths around the origin, in pixels."""


@dataclass(frozen=True)
class Contender:
    """One of those who are compared, as the page names and marks it."""

    place: int
    """From 0, in the order in which they were named; the others are compared with the first."""
    name: str

    @property
    def style(self) -> str:
        """The classes by which the style sheet colours it; the shapes come again, hollow, where they do not suffice."""
        hollow = " hollow" if self.place // len(SHAPES) % 2 else ""
        return f"series-{self.place % len(SHAPES) + 1}{hollow}"

    @property
    def label(self) -> Markup:
        """Its name, kept to itself: one that is written from right to left turns nothing around it."""
        return Markup("<bdi>{}</bdi>").format(self.name)

    @property
    def mark(self) -> Markup:
        """Its mark, to stand in a line of text."""
        return Markup(
            '<svg class="mark {}" viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">{}</svg>'
        ).format(self.style, self.shape)

    @property
    def shape(self) -> Markup:
        """Its mark around the origin of a drawing."""
        return Markup('<path class="shape" d="{}"/>').format(SHAPES[self.place % len(SHAPES)])


def mark_all(names: Sequence[str]) -> tuple[Contender, ...]:
    """Return the contenders of these names."""
    return tuple(Contender(place, name) for place, name in enumerate(names))
