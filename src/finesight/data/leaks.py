"""Leaks: what is reported on, yet was learned from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from finesight.data.groups import document_of, drawing_of, plain_text
from finesight.data.leak_pairs import Meeting, Name, describe_pair, in_words, name_answer, name_images, name_text
from finesight.data.look_alikes import NO_LOOK_ALIKES, LookAlikes
from finesight.schema import OWN_SETS, Example, Sets

LOOK_ALIKE = "look-alike image"
ONLY_ASKED = "same question and answer, no image"
MAYBE_CHANCE = (LOOK_ALIKE, ONLY_ASKED)
"""Kinds of leaks that may be no mistake, as neighbouring slices of a scan, or a greeting that two people wrote: a
recipe may bear with a share of them. What is the same byte for byte was put into both sets by somebody."""
_NAMED = 5
_PAIRS = 3

Ties = Callable[[Example], Iterable[Hashable]]
"""What an example must have in common with no example of another set."""


class _Asked(NamedTuple):
    images: tuple[str, ...]
    text: str
    question: str
    answer: str


def find_leaks(sets: Sets, look_alikes: LookAlikes = NO_LOOK_ALIKES, threshold: float = 0.0) -> list[dict[str, Any]]:
    """Return what the sets share that must share nothing, as data.json says it; an empty list is the good case.

    The test set, and each task that has its own source, are held against train and validation together; validation
    is held against train. Images are the same when their stored bytes are, and are else held against `look_alikes`;
    drawings are the same when their simplified text is, other texts when every character is; questions and answers
    when they are, but for upper and lower case and blanks. Groups that the data name (`columns.group`) are compared
    for the run's own sets alone: another data set may number its patients alike. `groups` counts the distinct images,
    drawings, texts, triples or groups that are shared, `examples` the evaluation set's rows that show them, and
    `share` how much of the set these are. What may be chance is `within_threshold` up to that share. A task on the
    training set shares everything by design, and is left out.
    """
    learned = (*sets.train, *sets.validation)
    against = [
        ("validation", sets.validation, "train", sets.train),
        ("test", sets.test, "train and validation", learned),
    ]
    against += [
        (task.name, task.examples, "train and validation", learned)
        for task in sets.tasks
        if task.drawn_from not in OWN_SETS
    ]
    found = [
        {"evaluation_set": evaluation_set, "learned_set": learned_set, **_describe(kind, meetings, name, evaluated)}
        for evaluation_set, evaluated, learned_set, learned_examples in against
        for kind, meetings, name in _overlaps(evaluated, learned_examples, look_alikes, evaluation_set in OWN_SETS)
        if meetings
    ]
    return [{**leak, "within_threshold": leak["kind"] in MAYBE_CHANCE and leak["share"] <= threshold} for leak in found]


def _overlaps(
    evaluated: Sequence[Example], learned: Sequence[Example], look_alikes: LookAlikes, by_document: bool
) -> Iterator[tuple[str, list[Meeting], Name]]:
    def meet(ties: Ties) -> list[Meeting]:
        return list(_meet(ties, evaluated, learned))

    if by_document:
        yield "same group", meet(_documents), document_of
    yield "same image", [met._replace(images=(str(met.tie),) * 2) for met in meet(_images)], name_images
    yield LOOK_ALIKE, list(_meet_by_looks(evaluated, learned, look_alikes)), name_images
    yield "same image, question and answer", meet(_asked_of_images), name_answer
    yield "same drawing", meet(_drawings), name_images
    yield "same text", meet(_texts), name_text
    yield ONLY_ASKED, meet(_only_asked), name_answer


def _describe(kind: str, meetings: Sequence[Meeting], name: Name, evaluated: Sequence[Example]) -> dict[str, Any]:
    one_each = {met.tie: met for met in reversed(meetings)}
    first = [one_each[tie] for tie in dict.fromkeys(met.tie for met in meetings)][:_NAMED]
    examples = len({met.evaluated.id for met in meetings})
    return {
        "kind": kind,
        "groups": len(one_each),
        "examples": examples,
        "share": examples / len(evaluated),
        "first": [in_words(met, name) for met in first],
        "pairs": [describe_pair(met, name) for met in first[:_PAIRS]],
    }


def _meet(ties: Ties, evaluated: Sequence[Example], learned: Sequence[Example]) -> Iterator[Meeting]:
    first: dict[Hashable, Example] = {}
    for example in learned:
        for tie in ties(example):
            first.setdefault(tie, example)
    for example in evaluated:
        yield from (Meeting(tie, example, first[tie]) for tie in ties(example) if tie in first)


def _meet_by_looks(evaluated: Sequence[Example], learned: Sequence[Example], alike: LookAlikes) -> Iterator[Meeting]:
    """Yield each image that is not learned from, but looks like one that is, with the nearest of those."""
    first = {shown: example for example in reversed(learned) for shown in _images(example)}
    families: dict[str, list[str]] = {}
    for shown in first:
        if shown in alike.families:
            families.setdefault(alike.families[shown], []).append(shown)
    nearest: dict[str, tuple[int, str]] = {}
    for example in evaluated:
        for shown in _images(example):
            if shown in first or alike.families.get(shown) not in families:
                continue
            if shown not in nearest:
                nearest[shown] = min((alike.distance(shown, other), other) for other in families[alike.families[shown]])
            distance, other = nearest[shown]
            yield Meeting(shown, example, first[other], (shown, other), distance)


def _documents(example: Example) -> list[str]:
    return [document] if (document := document_of(example)) else []


def _drawings(example: Example) -> list[str]:
    return [drawing] if (drawing := drawing_of(example)) else []


def _images(example: Example) -> list[str]:
    return [] if drawing_of(example) else [image.content_hash() for image in example.images]


def _texts(example: Example) -> list[str]:
    return [example.context] if example.context and not drawing_of(example) else []


def _asked_of_images(example: Example) -> list[_Asked]:
    return [_asked(example)] if example.images else []


def _only_asked(example: Example) -> list[_Asked]:
    return [] if example.has_context else [_asked(example)]


def _asked(example: Example) -> _Asked:
    questions = " ".join(turn.text for turn in example.turns if turn.role == "user")
    images = tuple(image.content_hash() for image in example.images)
    return _Asked(images, example.context, plain_text(questions), plain_text(example.answer))
