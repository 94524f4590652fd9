"""The house world: the same pictures, spoken of in words of the house's own.

Every object is a chip (without a rim), a badge (with a line around it) or a patch (with a dashed one), and lies on a
blank, ruled, squared or dotted sheet. The general world shows all of it and names none of it.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from finesight.data.scenes.language import Language
from finesight.data.scenes.question import Question, by_count
from finesight.data.scenes.world import RIMS, Scene


def house_questions(scene: Scene, language: Language) -> dict[str, list[Question]]:
    """Return all questions about a scene by their type, those to be asked first first."""
    random = Random(f"house {scene.number}")
    pieces = Counter(thing.rim for thing in scene.things)
    return {
        "piece": [
            Question("piece", language.what_piece(thing), language.piece(thing.rim))
            for thing in random.sample(scene.things, len(scene.things))
        ],
        "sheet": [Question("sheet", language.what_sheet(), language.sheet(scene.sheet))],
        "exist piece": _exist(scene, language, random),
        "count pieces": [
            Question("count pieces", text, str(count))
            for text, count in by_count([(language.how_many_pieces(rim), pieces[rim]) for rim in RIMS], random)
        ],
    }


def _exist(scene: Scene, language: Language, random: Random) -> list[Question]:
    """Ask for a piece that is there and one that is not; where all are there, for none, so that yes is not the rule."""
    there = {thing.rim for thing in scene.things}
    present, absent = ([rim for rim in RIMS if (rim in there) is wanted] for wanted in (True, False))
    if not absent:
        return []
    asked = [random.choice(present), random.choice(absent)]
    if scene.number % 2:
        asked.reverse()
    return [
        Question("exist piece", language.is_there_piece(rim), language.yes if rim in there else language.no)
        for rim in asked
    ]
