"""Generated pictures: the same from the same number, with questions that have one answer, which the picture gives."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError
from scene_reader import answer, meaning, said

from finesight.data.scenes.draw import SceneImage, draw_scene
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.vector import scene_paths, scene_svg
from finesight.data.scenes.world import COLOURS, PAINTS, RADII, RELATIONS, RIMS, SHAPES, SHEETS, SIZES
from finesight.data.sources.scenes import read_scenes
from finesight.errors import DataError
from finesight.recipe.sources import Scenes
from finesight.schema import Example

SCENES = 2000
NUMBERS = range(SCENES)
BLIND_BOUND = 0.55
LANGUAGES = ("en", "ru")
GENERAL_TYPES = {"exist", "count", "colour", "shape", "size", "relation", "comparison", "choice", "dialogue"}
HOUSE_TYPES = {"piece", "sheet", "exist piece", "count pieces"}


@pytest.fixture(scope="module", params=["general", "house"])
def examples(request: pytest.FixtureRequest) -> list[Example]:
    return read_scenes(
        Scenes(
            kind="scenes",
            world=request.param,
            languages=LANGUAGES,
            scenes=SCENES,
            questions_per_scene=40,
            **({"captions_per_scene": 1, "dialogues_per_scene": 6} if request.param == "general" else {}),
        )
    )


def scene_number(example: Example) -> int:
    return int(example.id.split(":")[1].split("-")[0])


def test_scenes_hold_one_to_six_objects_that_do_not_hide_each_other() -> None:
    counts = Counter()
    for number in NUMBERS:
        things = plan_scene(number).things
        counts[len(things)] += 1
        assert [thing.x for thing in things] == sorted(thing.x for thing in things)
        assert len({(thing.shape, thing.colour) for thing in things}) == len(things)
        for place, thing in enumerate(things):
            assert RADII[thing.size][0] <= thing.radius <= RADII[thing.size][1]
            assert thing.radius <= thing.x <= 1 - thing.radius
            assert thing.radius <= thing.y <= 1 - thing.radius
            for other in things[:place]:
                assert math.hypot(thing.x - other.x, thing.y - other.y) > 0.95 * (thing.radius + other.radius)
    assert sorted(counts) == [1, 2, 3, 4, 5, 6]
    assert min(counts.values()) > 0.13 * SCENES


def test_everything_appears_about_equally_often() -> None:
    scenes = [plan_scene(number) for number in NUMBERS]
    things = [thing for scene in scenes for thing in scene.things]
    for names, seen in (
        (SHAPES, Counter(thing.shape for thing in things)),
        (COLOURS, Counter(thing.colour for thing in things)),
        (SIZES, Counter(thing.size for thing in things)),
        (RIMS, Counter(thing.rim for thing in things)),
        (SHEETS, Counter(scene.sheet for scene in scenes)),
    ):
        assert set(seen) == set(names)
        assert min(seen.values()) > 0.8 * seen.total() / len(names)


def test_the_rendered_picture_shows_each_object_in_its_colour() -> None:
    for number in NUMBERS:
        scene = plan_scene(number)
        picture = draw_scene(scene, 96)
        assert picture.size == (96, 96)
        for thing in scene.things:
            pixel = picture.getpixel((int(thing.x * 96), int(thing.y * 96)))
            assert nearest_colour(pixel) == thing.colour


def nearest_colour(pixel: tuple[int, ...]) -> str:
    return min(PAINTS, key=lambda name: math.dist(PAINTS[name], pixel))


def test_every_answer_follows_from_the_scenes_own_objects(examples: list[Example]) -> None:
    asked: Counter[str] = Counter()
    for example in examples:
        if example.question_type == "caption":
            continue
        scene, language = plan_scene(scene_number(example)), example.tags["language"]
        before = example.turns[0].text if example.question_type == "dialogue" else ""
        right = answer(scene, example.question_type, example.question, language, before)
        assert meaning(example.answer, language) == right, example
        asked[example.question_type] += 1
    assert min(asked.values()) > SCENES
    assert set(asked) in (GENERAL_TYPES, HOUSE_TYPES)


def test_captions_name_the_objects_from_left_to_right(examples: list[Example]) -> None:
    captions = [example for example in examples if example.question_type == "caption"]
    assert len(captions) in (0, 2 * SCENES)
    for example in captions:
        things = plan_scene(scene_number(example)).things
        named = [word for thing in things for word in (thing.size, thing.colour, thing.shape)]
        assert said(example.answer, example.tags["language"]) == named


def test_no_scene_repeats_a_question(examples: list[Example]) -> None:
    texts = Counter((example.group, tuple(turn.text for turn in example.turns[:-1])) for example in examples)
    assert max(texts.values()) == 1


def test_the_same_questions_are_asked_in_both_languages(examples: list[Example]) -> None:
    by_language = {
        language: [
            (scene_number(example), example.question_type, meaning(example.answer, language))
            for example in examples
            if example.tags["language"] == language and example.question_type != "caption"
        ]
        for language in LANGUAGES
    }
    assert by_language["en"] == by_language["ru"]


@pytest.mark.parametrize("questions", [3, 12, 40])
def test_no_answer_can_be_read_from_the_question(examples: list[Example], questions: int) -> None:
    """Whoever knows only how often each wording had each answer stays at or below the blind bound."""
    kept = [example for example in examples if int(example.id.rsplit("-", 1)[1]) <= questions]
    learned = [example for example in kept if scene_number(example) < SCENES // 2]
    held_out = [example for example in kept if scene_number(example) >= SCENES // 2]
    for language, name in itertools.product(LANGUAGES, sorted({example.question_type for example in kept})):
        guessed = guess_from_text(of_type(learned, language, name), of_type(held_out, language, name))
        assert guessed <= BLIND_BOUND, (language, name, guessed)


def of_type(examples: Iterable[Example], language: str, name: str) -> list[Example]:
    return [e for e in examples if (e.tags["language"], e.question_type) == (language, name)]


def guess_from_text(learned: list[Example], held_out: list[Example]) -> float:
    """Return the share of answers guessed from the wording: all of it, its first line, or its type, as often as seen.

    With options, the letter whose option was right most often in such a question.
    """
    whole, first, options, letters = defaultdict(Counter), defaultdict(Counter), defaultdict(Counter), Counter()
    for example in learned:
        whole[example.question][example.answer] += 1
        first[kind_of(example)][example.answer] += 1
        letters[example.answer] += 1
        for letter, option in zip("ABC", example.choices, strict=False):
            options[option][letter == example.answer] += 1
    right = 0
    for example in held_out:
        if example.choices:
            rates = {
                letter: options[option][True] / (options[option].total() or 1)
                for letter, option in zip("ABC", example.choices, strict=True)
            }
            guess = max(rates, key=rates.__getitem__)
        else:
            seen = next(c for c in (whole[example.question], first[kind_of(example)], letters) if c.total() > 3)
            guess = seen.most_common(1)[0][0]
        right += guess == example.answer
    return right / len(held_out)


def kind_of(example: Example) -> str:
    """Return how a question begins."""
    return " ".join(re.findall(r"\w+", example.question)[:2])


def test_all_sides_are_asked_for_equally_often(examples: list[Example]) -> None:
    sides = Counter(meaning(e.answer, e.tags["language"]) for e in examples if e.question_type == "relation")
    if sides:
        assert set(sides) == set(RELATIONS)
        assert min(sides.values()) > 0.2 * sides.total()


def test_the_general_world_never_says_the_houses_words() -> None:
    spoken = {}
    for world in ("general", "house"):
        spec = Scenes(
            kind="scenes",
            world=world,
            languages=LANGUAGES,
            scenes=300,
            questions_per_scene=40,
            **({"captions_per_scene": 1, "dialogues_per_scene": 2} if world == "general" else {}),
        )
        spoken[world] = {
            word for e in read_scenes(spec) for turn in e.turns for word in re.findall(r"\w+", turn.text.lower())
        }
    own = spoken["house"] - spoken["general"]
    assert {"chip", "badge", "patch", "sheet", "ruled", "squared", "dotted", "blank"} <= own
    assert {"фишка", "значок", "нашивка", "лист", "линованный", "клетчатый", "точечный", "чистый"} <= own


def test_a_scene_does_not_depend_on_where_the_reading_began() -> None:
    whole = read_scenes(Scenes(kind="scenes", scenes=20))
    tail = read_scenes(Scenes(kind="scenes", scenes=5, first_scene=15))
    assert tail == [example for example in whole if scene_number(example) >= 15]


def test_pictures_and_hashes_are_stable() -> None:
    assert SceneImage(3, 64).open().tobytes() == SceneImage(3, 64).open().tobytes()
    hashes = {SceneImage(number, 64).content_hash() for number in NUMBERS}
    assert len(hashes) == SCENES
    assert SceneImage(3, 32).content_hash() not in hashes


def test_a_scene_is_the_same_everywhere() -> None:
    """Shipped models are measured on numbered scenes: what a number stands for must never change unnoticed."""
    things = [(t.shape, t.colour, t.size, t.rim, round(t.x, 6), round(t.y, 6)) for t in plan_scene(7).things]
    assert things == [
        ("circle", "green", "large", "bare", 0.223585, 0.50465),
        ("star", "orange", "small", "dashed", 0.437488, 0.770694),
        ("square", "orange", "small", "dashed", 0.444976, 0.143303),
    ]


def test_the_svg_source_holds_every_object() -> None:
    for number in range(200):
        scene = plan_scene(number)
        root = ElementTree.fromstring(scene_svg(scene))
        fills = [node.get("fill") for node in root if node.tag.endswith("path") and node.get("fill")]
        assert fills == ["#{:02x}{:02x}{:02x}".format(*thing.paint) for thing in scene.things]


def test_the_path_text_has_a_line_for_every_object_in_the_reports_form() -> None:
    line = re.compile(
        r"style=fill:\d+,\d+,\d+;stroke:(None|\d+,\d+,\d+);stroke-width:\d+;opacity:1\t"
        r"d=M\d+,\d+( [ML]\d+,\d+| A\d+,\d+,0,1,0,\d+,\d+)+"
    )
    for number in range(200):
        scene = plan_scene(number)
        lines = scene_paths(scene).splitlines()
        assert len(lines) == len(scene.things)
        for text, thing in zip(lines, scene.things, strict=True):
            assert line.fullmatch(text), text
            assert text.startswith("style=fill:{},{},{};".format(*thing.paint))
            numbers = [int(n) for pair in re.findall(r"[ML](\d+),(\d+)", text) for n in pair]
            assert max(numbers) <= 512


def test_the_house_world_has_no_captions() -> None:
    with pytest.raises(ValidationError, match="questions only"):
        Scenes(kind="scenes", world="house", captions_per_scene=1)


def test_a_source_without_questions_is_refused() -> None:
    with pytest.raises(DataError, match="no questions at all"):
        read_scenes(Scenes(kind="scenes", questions_per_scene=0))


def test_only_the_types_that_are_asked_for_are_asked() -> None:
    chosen = read_scenes(Scenes(kind="scenes", scenes=30, question_types=["relation", "count"], questions_per_scene=40))
    asked = read_scenes(Scenes(kind="scenes", scenes=30, questions_per_scene=100))
    kept = [example for example in asked if example.question_type in ("relation", "count")]
    assert {(e.group, e.question) for e in chosen} == {(e.group, e.question) for e in kept}


def test_the_house_world_has_no_general_types() -> None:
    with pytest.raises(ValidationError, match="general world's"):
        Scenes(kind="scenes", world="house", question_types=["relation"])
