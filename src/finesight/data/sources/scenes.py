"""Scenes as a source: nothing is read, everything is drawn."""

from __future__ import annotations

from finesight.data.groups import image_group
from finesight.data.scenes import MOST_QUESTIONS, SceneImage, ask_about
from finesight.errors import DataError
from finesight.recipe.data import Scenes
from finesight.schema import Example, Turn


def read_scenes(spec: Scenes) -> list[Example]:
    """Return the questions about each scene, scene by scene. Raises `DataError` when a scene has not so many."""
    if spec.questions_per_scene > MOST_QUESTIONS:
        raise DataError(
            f"scenes: {spec.questions_per_scene} questions asked for, but a scene with one object has {MOST_QUESTIONS}",
            hint=f"give questions_per_scene of at most {MOST_QUESTIONS}",
        )
    return [
        example
        for number in range(spec.first_scene, spec.first_scene + spec.scenes)
        for example in _examples(number, spec)
    ]


def _examples(number: int, spec: Scenes) -> list[Example]:
    image = SceneImage(number, spec.image_size)
    group = image_group(image)
    return [
        Example(
            id=f"scenes:{number}-{place}",
            group=group,
            images=(image,),
            turns=(Turn("user", question.text), Turn("assistant", question.answer, learned=True)),
            references=(question.answer,),
            question_type=question.question_type,
            answer_type="CLOSED" if question.question_type == "exist" else "OPEN",
        )
        for place, question in enumerate(ask_about(number, spec.questions_per_scene), start=1)
    ]
