"""Generated pictures: the same from the same number, with questions that have one answer."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from finesight.data.scenes import COLOURS, MOST_QUESTIONS, SHAPES, SceneImage, ask_about, plan_scene
from finesight.data.sources.scenes import read_scenes
from finesight.errors import DataError
from finesight.recipe.data import Scenes

NUMBERS = range(1000)


def test_scenes_hold_one_to_four_objects_that_do_not_hide_each_other() -> None:
    sizes = Counter()
    for number in NUMBERS:
        things = plan_scene(number)
        sizes[len(things)] += 1
        for place, thing in enumerate(things):
            assert thing.radius <= thing.x <= 1 - thing.radius
            assert thing.radius <= thing.y <= 1 - thing.radius
            for other in things[:place]:
                distance = math.hypot(thing.x - other.x, thing.y - other.y)
                assert distance > 0.8 * (thing.radius + other.radius)
    assert sorted(sizes) == [1, 2, 3, 4]
    assert min(sizes.values()) > 150


def test_answers_follow_from_the_scene() -> None:
    for number in NUMBERS:
        things = plan_scene(number)
        kinds = {(thing.colour, thing.shape) for thing in things}
        for question in ask_about(number, MOST_QUESTIONS):
            words = question.text.rstrip("?").split()
            match question.question_type:
                case "colour":
                    assert [colour for colour, shape in kinds if shape == words[-1]] == [question.answer]
                case "shape":
                    assert [shape for colour, shape in kinds if colour == words[-2]] == [question.answer]
                case "count":
                    what = words[2].removesuffix("s")
                    counted = [kind for kind in kinds if what == "object" or what in kind]
                    assert question.answer == str(len(counted))
                case "exist":
                    assert question.answer == ("yes" if (words[-2], words[-1]) in kinds else "no")


def test_no_scene_runs_out_of_questions_or_repeats_one() -> None:
    for number in NUMBERS:
        asked = [question.text for question in ask_about(number, MOST_QUESTIONS)]
        assert len(set(asked)) == len(asked) == MOST_QUESTIONS


@pytest.mark.parametrize("questions", [1, 3, 6, MOST_QUESTIONS])
def test_yes_and_no_are_balanced(questions: int) -> None:
    answers = Counter(
        question.answer
        for number in NUMBERS
        for question in ask_about(number, questions)
        if question.question_type == "exist"
    )
    assert abs(answers["yes"] - answers["no"]) < 0.1 * answers.total()


def test_six_questions_are_of_all_types() -> None:
    examples = read_scenes(Scenes(kind="scenes", scenes=100))
    types = Counter(example.question_type for example in examples)
    assert set(types) == {"colour", "shape", "count", "exist"}
    assert min(types.values()) > 80
    assert {example.answer_type for example in examples if example.question_type == "exist"} == {"CLOSED"}
    assert {example.answer_type for example in examples if example.question_type != "exist"} == {"OPEN"}


def test_a_scene_does_not_depend_on_where_the_reading_began() -> None:
    whole = read_scenes(Scenes(kind="scenes", scenes=20))
    tail = read_scenes(Scenes(kind="scenes", scenes=5, first_scene=15))
    assert tail == whole[15 * 6 :]


def test_the_picture_shows_each_colour_at_its_place() -> None:
    for number in range(20):
        things = plan_scene(number)
        picture = SceneImage(number, 96).open()
        assert picture.size == (96, 96)
        last = things[-1]
        assert picture.getpixel((round(last.x * 96), round(last.y * 96))) == COLOURS[last.colour]


def test_pictures_and_hashes_are_stable() -> None:
    assert SceneImage(3, 64).open().tobytes() == SceneImage(3, 64).open().tobytes()
    hashes = {SceneImage(number, 64).content_hash() for number in NUMBERS}
    assert len(hashes) == len(NUMBERS)
    assert SceneImage(3, 32).content_hash() not in hashes


def test_all_kinds_of_objects_appear() -> None:
    seen = {(thing.shape, thing.colour) for number in NUMBERS for thing in plan_scene(number)}
    assert len(seen) == len(SHAPES) * len(COLOURS)


def test_too_many_questions_are_refused() -> None:
    with pytest.raises(DataError, match="17 questions asked for"):
        read_scenes(Scenes(kind="scenes", questions_per_scene=17))
