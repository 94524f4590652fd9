"""Generated pictures of coloured shapes, and questions about them whose answers are known.

In the spirit of CLEVR (Johnson et al. 2017), flat and small. A scene follows from its number alone.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (240, 215, 40),
    "green": (40, 160, 60),
    "blue": (40, 90, 215),
    "purple": (140, 60, 180),
    "brown": (120, 75, 40),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle")
MOST_QUESTIONS = 16
"""So many questions every scene has, the emptiest too."""

_MOST_OBJECTS = 4
_SUPERSAMPLING = 4
_LEAST_DISTANCE = 0.85
"""Between two centres, as a share of the radii's sum: objects touch and overlap a little, but never hide."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a scene. Lengths are shares of the picture's side."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene, with its only right answer."""

    question_type: str
    """`colour`, `shape`, `count` or `exist`."""
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class SceneImage:
    """The picture of a scene, drawn when it is opened."""

    number: int
    size: int
    """Side in pixels."""

    @property
    def name(self) -> str:
        """Return which scene it is."""
        return f"scene {self.number}"

    def open(self) -> Image.Image:
        """Return the picture in RGB."""
        return draw_scene(self.number, self.size)

    def content_hash(self) -> str:
        """Return the SHA-256 of the scene's description and size."""
        return _scene_hash(self.number, self.size)


def plan_scene(number: int) -> tuple[Thing, ...]:
    """Return the one to four objects of scene `number`; no two have both shape and colour in common."""
    random = Random(number)
    kinds = random.sample(list(itertools.product(SHAPES, COLOURS)), random.randint(1, _MOST_OBJECTS))
    things: list[Thing] = []
    for shape, colour in kinds:
        while True:
            radius = random.uniform(0.11, 0.19)
            x, y = (random.uniform(radius, 1 - radius) for _ in range(2))
            if all(
                math.hypot(x - other.x, y - other.y) > _LEAST_DISTANCE * (radius + other.radius) for other in things
            ):
                break
        things.append(Thing(shape, colour, x, y, radius))
    return tuple(things)


@lru_cache(maxsize=65_536)
def _scene_hash(number: int, size: int) -> str:
    return hashlib.sha256(f"{size} {plan_scene(number)}".encode()).hexdigest()


def draw_scene(number: int, size: int) -> Image.Image:
    """Return the picture of scene `number` on a light background, `size` pixels wide and high."""
    random = Random(f"background {number}")
    background = (random.randint(225, 255), random.randint(225, 255), random.randint(225, 255))
    large = size * _SUPERSAMPLING
    picture = Image.new("RGB", (large, large), background)
    pencil = ImageDraw.Draw(picture)
    for thing in plan_scene(number):
        x, y, radius = thing.x * large, thing.y * large, thing.radius * large
        colour = COLOURS[thing.colour]
        match thing.shape:
            case "circle":
                pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
            case "square":
                half = radius * 0.87
                pencil.rectangle((x - half, y - half, x + half, y + half), fill=colour)
            case "triangle":
                corners = ((x, y - radius), (x - radius, y + radius * 0.8), (x + radius, y + radius * 0.8))
                pencil.polygon(corners, fill=colour)
    return picture.resize((size, size), Image.Resampling.BOX)


def ask_about(number: int, questions: int) -> list[Question]:
    """Return `questions` (at most 16) unambiguous questions about scene `number`, the four types in turn.

    Of all questions whether something is there, half are answered yes: a scene asks about as many objects that are
    there as about such that are not, and whether it begins with yes alternates from scene to scene.
    """
    random = Random(f"questions {number}")
    things = plan_scene(number)
    waiting = [
        _questions_of_colour(things, random),
        _questions_of_shape(things, random),
        _questions_of_count(things, random),
        _questions_of_existence(things, random, yes_first=number % 2 == 0),
    ]
    start = random.randrange(len(waiting))
    order = waiting[start:] + waiting[:start]
    in_turn = (question for round_ in itertools.zip_longest(*order) for question in round_ if question)
    return list(itertools.islice(in_turn, questions))


def _questions_of_colour(things: tuple[Thing, ...], random: Random) -> list[Question]:
    shapes = Counter(thing.shape for thing in things)
    alone = [thing for thing in things if shapes[thing.shape] == 1]
    random.shuffle(alone)
    return [Question("colour", f"What colour is the {thing.shape}?", thing.colour) for thing in alone]


def _questions_of_shape(things: tuple[Thing, ...], random: Random) -> list[Question]:
    colours = Counter(thing.colour for thing in things)
    alone = [thing for thing in things if colours[thing.colour] == 1]
    random.shuffle(alone)
    return [Question("shape", f"What shape is the {thing.colour} object?", thing.shape) for thing in alone]


def _questions_of_count(things: tuple[Thing, ...], random: Random) -> list[Question]:
    described = [
        *((f"{shape}s", sum(thing.shape == shape for thing in things)) for shape in SHAPES),
        *((f"{colour} objects", sum(thing.colour == colour for thing in things)) for colour in COLOURS),
    ]
    random.shuffle(described)
    asked = [("objects", len(things)), *described]
    return [Question("count", f"How many {what} are there?", str(count)) for what, count in asked]


def _questions_of_existence(things: tuple[Thing, ...], random: Random, *, yes_first: bool) -> list[Question]:
    there = [(thing.colour, thing.shape) for thing in things]
    absent = [kind for kind in itertools.product(COLOURS, SHAPES) if kind not in there]
    there, absent = random.sample(there, len(there)), random.sample(absent, len(there))
    pairs = zip(there, absent, strict=True) if yes_first else zip(absent, there, strict=True)
    return [_question_of_existence(kind, "yes" if kind in there else "no") for pair in pairs for kind in pair]


def _question_of_existence(kind: tuple[str, str], answer: str) -> Question:
    colour, shape = kind
    article = "an" if colour[0] in "aeiou" else "a"
    return Question("exist", f"Is there {article} {colour} {shape}?", answer)
