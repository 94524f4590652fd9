"""Scenes as a source: nothing is read, everything is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

from finesight.data.groups import image_group
from finesight.data.scenes.draw import SceneImage
from finesight.data.scenes.english import English
from finesight.data.scenes.general import caption_question, dialogues, general_questions
from finesight.data.scenes.house import house_questions
from finesight.data.scenes.language import Language
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.question import Question, take_turns
from finesight.data.scenes.russian import Russian
from finesight.data.scenes.vector import scene_paths
from finesight.data.scenes.world import Scene
from finesight.errors import DataError
from finesight.recipe.sources import SceneLanguage, Scenes
from finesight.schema import Example, Turn

LANGUAGES: dict[SceneLanguage, Language] = {"en": English(), "ru": Russian()}


def read_scenes(spec: Scenes) -> list[Example]:
    """Return the questions about each scene, scene by scene. Raises `DataError` when there are none at all."""
    examples = [example for scene in _chosen(spec) for example in _examples(scene, spec)]
    if not examples:
        raise DataError(
            "scenes: no questions at all", hint="give questions_per_scene, captions_per_scene or dialogues_per_scene"
        )
    return examples


def _chosen(spec: Scenes) -> Iterator[Scene]:
    scenes = map(plan_scene, itertools.count(spec.first_scene))
    return itertools.islice((scene for scene in scenes if len(scene.things) <= spec.most_objects), spec.scenes)


def _asked_about(scene: Scene, spec: Scenes, language: Language) -> Iterator[Question]:
    """Yield what a source says about a scene in one language."""
    world = general_questions(scene, language) if spec.world == "general" else house_questions(scene, language)
    if spec.question_types:
        world = {name: questions for name, questions in world.items() if name in spec.question_types}
    yield from take_turns(world, spec.questions_per_scene, Random(f"turns {scene.number}"))
    if spec.captions_per_scene:
        yield caption_question(scene, language)
    yield from dialogues(scene, language)[: spec.dialogues_per_scene]


def _examples(scene: Scene, spec: Scenes) -> Iterator[Example]:
    image = SceneImage(scene.number, spec.image_size)
    images = () if spec.context == "svg" else (image,)
    text = "" if spec.context == "image" else scene_paths(scene)
    group = image_group(image)
    for name in spec.languages:
        for place, question in enumerate(_asked_about(scene, spec, LANGUAGES[name]), start=1):
            yield Example(
                id=f"scenes:{scene.number}-{name}-{place}",
                group=group,
                images=images,
                context=text,
                drawing=image if text else None,
                turns=_turns(question),
                references=(question.answer,),
                choices=question.options,
                question_type=question.question_type,
                answer_type="CLOSED" if question.answer in _CLOSED else "OPEN",
                tags={"language": name},
            )


_CLOSED = {answer for language in LANGUAGES.values() for answer in (language.yes, language.no)}


def _turns(question: Question) -> tuple[Turn, ...]:
    said = [*question.said_before, (question.text, question.answer)]
    return tuple(
        turn for asked, answer in said for turn in (Turn("user", asked), Turn("assistant", answer, learned=True))
    )
