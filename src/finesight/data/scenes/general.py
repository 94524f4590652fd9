"""The general world: questions about shapes, colours, sizes and sides, captions and dialogues.

Answers are balanced within each type, so that little can be guessed from a question alone. All of it follows from the
scene's number: the same scene gets the same questions in every language.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from finesight.data.scenes.language import LETTERS, Language, with_options
from finesight.data.scenes.question import Question, by_count
from finesight.data.scenes.world import COLOURS, SHAPES, SIZES, Scene, Size, Thing, relation_between

Item = TypeVar("Item")

_MOST_COUNTS = 4
_SHARE_OF_NEAR_OPTIONS = 0.5


def general_questions(scene: Scene, language: Language) -> dict[str, list[Question]]:
    """Return all questions about a scene by their type, those to be asked first first."""
    ask: dict[str, Callable[[Scene, Language, Random], list[Question]]] = {
        "exist": _exist,
        "count": _count,
        "colour": _colour,
        "shape": _shape,
        "size": _size,
        "relation": _relation,
        "comparison": _comparison,
        "choice": _choice,
    }
    return {name: make(scene, language, Random(f"{name} {scene.number}")) for name, make in ask.items()}


def caption_question(scene: Scene, language: Language) -> Question:
    """Return the request for a caption: what is there, from left to right."""
    return Question("caption", language.describe(), language.caption(scene.things))


def dialogues(scene: Scene, language: Language) -> list[Question]:
    """Return short dialogues: an object is found by its colour, then its size is asked without naming it again."""
    colours = Counter(thing.colour for thing in scene.things)
    return [
        Question(
            "dialogue",
            language.what_size_is_it(),
            language.size(thing.size),
            said_before=((language.what_shape(thing.colour, None), language.shape(thing.shape)),),
        )
        for thing in _shuffled(scene.things, Random(f"dialogue {scene.number}"))
        if colours[thing.colour] == 1
    ]


def _exist(scene: Scene, language: Language, random: Random) -> list[Question]:
    """Ask for as many objects that are there as for such that are not, by turns.

    Every second of those that are not there has a shape and a colour that are: together, but not on one object.
    """
    there = {(thing.shape, thing.colour) for thing in scene.things}
    shapes, colours = ([thing.shape for thing in scene.things], [thing.colour for thing in scene.things])
    near = _shuffled({kind for kind in itertools.product(shapes, colours) if kind not in there}, random)
    far = _shuffled({kind for kind in itertools.product(SHAPES, COLOURS) if kind not in {*there, *near}}, random)
    absent = [kind for pair in itertools.zip_longest(near, far) for kind in pair if kind]
    pairs = zip(_shuffled(there, random), absent, strict=False)
    yes_first = scene.number % 2 == 0
    return [
        Question("exist", language.is_there(*kind), language.yes if kind in there else language.no)
        for pair in pairs
        for kind in (pair if yes_first else reversed(pair))
    ]


def _count(scene: Scene, language: Language, random: Random) -> list[Question]:
    counted = [
        (language.how_many(), len(scene.things)),
        *((language.how_many(shape=shape), sum(one.shape == shape for one in scene.things)) for shape in SHAPES),
        *((language.how_many(colour=colour), sum(one.colour == colour for one in scene.things)) for colour in COLOURS),
    ]
    return [Question("count", text, str(count)) for text, count in by_count(counted, random)[:_MOST_COUNTS]]


def _colour(scene: Scene, language: Language, random: Random) -> list[Question]:
    return [
        Question("colour", language.what_colour(thing.shape, size), language.colour(thing.colour))
        for thing, size in _named_by_shape(_shuffled(scene.things, random))
    ]


def _shape(scene: Scene, language: Language, random: Random) -> list[Question]:
    return [
        Question("shape", language.what_shape(thing.colour, size), language.shape(thing.shape))
        for thing, size in _named_by_colour(_shuffled(scene.things, random))
    ]


def _size(scene: Scene, language: Language, random: Random) -> list[Question]:
    return [
        Question("size", language.what_size(thing), language.size(thing.size))
        for thing in _shuffled(scene.things, random)
    ]


def _relation(scene: Scene, language: Language, random: Random) -> list[Question]:
    pairs = _shuffled(itertools.permutations(scene.things, 2), random)
    return [
        Question("relation", language.where(thing, other), language.relation(relation))
        for thing, other in pairs
        if (relation := relation_between(thing, other))
    ]


def _comparison(scene: Scene, language: Language, random: Random) -> list[Question]:
    pairs = [pair for pair in itertools.combinations(scene.things, 2) if pair[0].size != pair[1].size]
    questions = []
    for place, pair in enumerate(_shuffled(pairs, random)):
        small, large = sorted(pair, key=lambda thing: thing.radius)
        if (scene.number + place) % 2:
            questions.append(Question("comparison", language.is_larger(large, small), language.yes))
        else:
            questions.append(Question("comparison", language.is_larger(small, large), language.no))
    return questions


def _choice(scene: Scene, language: Language, random: Random) -> list[Question]:
    """Ask for colours, shapes and sizes with three options; every second time the wrong ones are there too."""
    things = _shuffled(scene.things, random)
    asked = [
        *(
            (
                language.what_colour(thing.shape, size),
                language.colour(thing.colour),
                list(map(language.colour, COLOURS)),
            )
            for thing, size in _named_by_shape(things)
        ),
        *(
            (language.what_shape(thing.colour, size), language.shape(thing.shape), list(map(language.shape, SHAPES)))
            for thing, size in _named_by_colour(things)
        ),
        *((language.what_size(thing), language.size(thing.size), list(map(language.size, SIZES))) for thing in things),
    ]
    there = {
        word
        for thing in things
        for word in (language.colour(thing.colour), language.shape(thing.shape), language.size(thing.size))
    }
    questions = []
    for text, right, words in _shuffled(asked, random):
        wrong = [word for word in words if word != right]
        random.shuffle(wrong)
        if random.random() < _SHARE_OF_NEAR_OPTIONS:
            wrong.sort(key=lambda word: word not in there)
        options = _shuffled([right, *wrong[: len(LETTERS) - 1]], random)
        letter = LETTERS[options.index(right)]
        questions.append(Question("choice", with_options(text, options), letter, options=tuple(options)))
    return questions


def _named_by_shape(things: Sequence[Thing]) -> list[tuple[Thing, Size | None]]:
    """Return the objects that their shape names, or their shape and size, with the size where it is needed."""
    return _named_by(lambda thing: thing.shape, things)


def _named_by_colour(things: Sequence[Thing]) -> list[tuple[Thing, Size | None]]:
    """Return the objects that their colour names, or their colour and size, with the size where it is needed."""
    return _named_by(lambda thing: thing.colour, things)


def _named_by(feature: Callable[[Thing], str], things: Sequence[Thing]) -> list[tuple[Thing, Size | None]]:
    alike = Counter(feature(thing) for thing in things)
    both = Counter((feature(thing), thing.size) for thing in things)
    return [
        (thing, None if alike[feature(thing)] == 1 else thing.size)
        for thing in things
        if both[feature(thing), thing.size] == 1
    ]


def _shuffled(items: Iterable[Item], random: Random) -> list[Item]:
    """Return the items in an order that follows from `random` alone: a set has none of its own."""
    ordered = sorted(items, key=repr) if isinstance(items, set) else list(items)
    return random.sample(ordered, len(ordered))
