"""Reads a question about a scene and answers it from the scene's own objects, knowing nothing of how it was made."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finesight.data.scenes.world import RADII, Scene, Thing

WORDS = {
    "en": {
        **{word: word for word in ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black")},
        **{word: word for word in ("circle", "square", "triangle", "star", "cross", "small", "medium", "large")},
        **{f"{word}s": word for word in ("circle", "square", "triangle", "star")},
        "crosses": "cross",
        "chip": "bare",
        "badge": "lined",
        "patch": "dashed",
        "chips": "bare",
        "badges": "lined",
        "patches": "dashed",
    },
    "ru": {
        "красн": "red",
        "оранжев": "orange",
        "жёлт": "yellow",
        "зелён": "green",
        "син": "blue",
        "фиолетов": "purple",
        "коричнев": "brown",
        "чёрн": "black",
        "круг": "circle",
        "квадрат": "square",
        "треугольник": "triangle",
        "звезд": "star",
        "звёзд": "star",
        "крест": "cross",
        "маленьк": "small",
        "средн": "medium",
        "больш": "large",
        "фиш": "bare",
        "знач": "lined",
        "нашив": "dashed",
    },
}
NAMES = {
    "ru": {
        "да": "yes",
        "нет": "no",
        "слева": "left",
        "справа": "right",
        "сверху": "above",
        "снизу": "below",
        "чистый": "blank",
        "линованный": "ruled",
        "клетчатый": "squared",
        "точечный": "dotted",
    },
    "en": {},
}
ORDER = ("small", "medium", "large")


def said(text: str, language: str) -> list[str]:
    """Return what a text names, in English and in its order."""
    found = []
    for word in re.findall(r"\w+", text.lower()):
        if language == "en" and word in WORDS["en"]:
            found.append(WORDS["en"][word])
        elif language == "ru" and word != "больше":
            found += [name for stem, name in WORDS["ru"].items() if word.startswith(stem)][:1]
    return found


def meaning(answer: str, language: str) -> str:
    """Return what an answer says, in English."""
    lowered = answer.lower()
    return NAMES[language].get(lowered) or (said(lowered, language) or [lowered])[0]


def size_of(thing: Thing) -> str:
    """Return an object's size by its measure alone."""
    (name,) = [name for name, (least, most) in RADII.items() if least <= thing.radius <= most]
    return name


def matching(scene: Scene, names: Sequence[str]) -> list[Thing]:
    """Return the objects that all the names are true of."""
    return [
        thing
        for thing in scene.things
        if all(n in (thing.shape, thing.colour, size_of(thing), thing.rim) for n in names)
    ]


def only(scene: Scene, names: Sequence[str]) -> Thing:
    """Return the one object that the names are true of."""
    (thing,) = matching(scene, names)
    return thing


def answer(scene: Scene, question_type: str, text: str, language: str, said_before: str = "") -> str:
    """Return the right answer, in English."""
    asked = text.splitlines()[0]
    names = said(asked, language)
    match question_type:
        case "exist" | "exist piece":
            return "yes" if matching(scene, names) else "no"
        case "count" | "count pieces":
            return str(len(matching(scene, names)))
        case "colour":
            return only(scene, names).colour
        case "shape":
            return only(scene, names).shape
        case "size":
            return size_of(only(scene, names))
        case "piece":
            return only(scene, names).rim
        case "sheet":
            return scene.sheet
        case "dialogue":
            return size_of(only(scene, said(said_before, language)))
        case "comparison" | "relation" | "choice":
            return ANSWERS[question_type](scene, names, text, language)
    raise AssertionError(question_type)


def compare(scene: Scene, names: list[str], text: str, language: str) -> str:
    first, second = (ORDER.index(size_of(only(scene, pair))) for pair in (names[:2], names[2:]))
    return "yes" if first > second else "no"


def relate(scene: Scene, names: list[str], text: str, language: str) -> str:
    other, thing = only(scene, names[:2]), only(scene, names[2:])
    across, down = thing.x - other.x, thing.y - other.y
    if abs(across) > abs(down):
        return "left" if across < 0 else "right"
    return "above" if down < 0 else "below"


def choose(scene: Scene, names: list[str], text: str, language: str) -> str:
    thing = only(scene, names)
    options = [said(line[2:], language)[0] for line in text.splitlines()[1:]]
    true = (thing.shape, thing.colour, size_of(thing))
    (right,) = [option for option in options if option in true and option not in names]
    return "abc"[options.index(right)]


ANSWERS = {"comparison": compare, "relation": relate, "choice": choose}
