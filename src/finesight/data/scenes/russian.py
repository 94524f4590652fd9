"""Scenes in Russian: adjectives agree with what they describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from finesight.data.scenes.world import Colour, Relation, Rim, Shape, Sheet, Size, Thing


class _Noun(NamedTuple):
    nominative: str
    genitive: str
    genitive_plural: str
    feminine: bool = False


class _Adjective(NamedTuple):
    masculine: str
    feminine: str
    genitive_masculine: str
    genitive_feminine: str
    genitive_plural: str

    def nominative(self, noun: _Noun) -> str:
        return self.feminine if noun.feminine else self.masculine

    def genitive(self, noun: _Noun) -> str:
        return self.genitive_feminine if noun.feminine else self.genitive_masculine


def _hard(stem: str, ending: str = "ый") -> _Adjective:
    return _Adjective(stem + ending, f"{stem}ая", f"{stem}ого", f"{stem}ой", f"{stem}ых")


_SHAPES: dict[Shape, _Noun] = {
    "circle": _Noun("круг", "круга", "кругов"),
    "square": _Noun("квадрат", "квадрата", "квадратов"),
    "triangle": _Noun("треугольник", "треугольника", "треугольников"),
    "star": _Noun("звезда", "звезды", "звёзд", feminine=True),
    "cross": _Noun("крест", "креста", "крестов"),
}
_COLOURS: dict[Colour, _Adjective] = {
    "red": _hard("красн"),
    "orange": _hard("оранжев"),
    "yellow": _hard("жёлт"),
    "green": _hard("зелён"),
    "blue": _Adjective("синий", "синяя", "синего", "синей", "синих"),
    "purple": _hard("фиолетов"),
    "brown": _hard("коричнев"),
    "black": _hard("чёрн"),
}
_SIZES: dict[Size, _Adjective] = {
    "small": _Adjective("маленький", "маленькая", "маленького", "маленькой", "маленьких"),
    "medium": _Adjective("средний", "средняя", "среднего", "средней", "средних"),
    "large": _Adjective("большой", "большая", "большого", "большой", "больших"),
}
_RELATIONS: dict[Relation, str] = {"left": "слева", "right": "справа", "above": "сверху", "below": "снизу"}
_PIECES: dict[Rim, _Noun] = {
    "bare": _Noun("фишка", "фишки", "фишек", feminine=True),
    "lined": _Noun("значок", "значка", "значков"),
    "dashed": _Noun("нашивка", "нашивки", "нашивок", feminine=True),
}
_SHEETS: dict[Sheet, str] = {
    "blank": "чистый",
    "ruled": "линованный",
    "squared": "клетчатый",
    "dotted": "точечный",
}


class Russian:
    """See `Language`."""

    yes = "да"
    no = "нет"

    def colour(self, colour: Colour) -> str:
        return _COLOURS[colour].masculine  # agrees with «цвет»

    def shape(self, shape: Shape) -> str:
        return _SHAPES[shape].nominative

    def size(self, size: Size) -> str:
        return _SIZES[size].masculine  # agrees with «размер»

    def relation(self, relation: Relation) -> str:
        return _RELATIONS[relation]

    def is_there(self, shape: Shape, colour: Colour) -> str:
        return f"Есть ли здесь {_nominative(shape, colour)}?"

    def how_many(self, shape: Shape | None = None, colour: Colour | None = None) -> str:
        what = _SHAPES[shape].genitive_plural if shape else "предметов"
        return f"Сколько здесь {_COLOURS[colour].genitive_plural} {what}?" if colour else f"Сколько здесь {what}?"

    def what_colour(self, shape: Shape, size: Size | None) -> str:
        noun = _SHAPES[shape]
        return (
            f"Какого цвета {_SIZES[size].nominative(noun)} {noun.nominative}?"
            if size
            else (f"Какого цвета {noun.nominative}?")
        )

    def what_shape(self, colour: Colour, size: Size | None) -> str:
        adjectives = [_COLOURS[colour].masculine]
        if size:
            adjectives.insert(0, _SIZES[size].masculine)
        return f"Какой формы {' '.join(adjectives)} предмет?"

    def what_size(self, thing: Thing) -> str:
        return f"Какого размера {_nominative(thing.shape, thing.colour)}?"

    def what_size_is_it(self) -> str:
        return "А размер какой?"

    def where(self, thing: Thing, other: Thing) -> str:
        noun = _SHAPES[other.shape]
        seen_from = f"{_COLOURS[other.colour].genitive(noun)} {noun.genitive}"
        return f"С какой стороны от {seen_from} {_nominative(thing.shape, thing.colour)}?"

    def is_larger(self, thing: Thing, other: Thing) -> str:
        larger, smaller = (_nominative(one.shape, one.colour) for one in (thing, other))
        return f"{larger.capitalize()} больше, чем {smaller}?"

    def describe(self) -> str:
        return "Опиши картинку."

    def caption(self, things: Sequence[Thing]) -> str:
        *others, last = (
            f"{_SIZES[thing.size].nominative(_SHAPES[thing.shape])} {_nominative(thing.shape, thing.colour)}"
            for thing in things
        )
        return f"{', '.join(others)} и {last}" if others else last

    def what_piece(self, thing: Thing) -> str:
        return f"Как у нас называется {_nominative(thing.shape, thing.colour)}?"

    def piece(self, rim: Rim) -> str:
        return _PIECES[rim].nominative

    def what_sheet(self) -> str:
        return "Какой это лист?"

    def sheet(self, sheet: Sheet) -> str:
        return _SHEETS[sheet]

    def is_there_piece(self, rim: Rim) -> str:
        return f"Есть ли здесь {_PIECES[rim].nominative}?"

    def how_many_pieces(self, rim: Rim) -> str:
        return f"Сколько здесь {_PIECES[rim].genitive_plural}?"


def _nominative(shape: Shape, colour: Colour) -> str:
    noun = _SHAPES[shape]
    return f"{_COLOURS[colour].nominative(noun)} {noun.nominative}"
