"""Leaks: what is reported on, yet was learned from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from finesight.data.groups import document_of, plain_text
from finesight.schema import Example, Sets

OWN_SETS = ("test", "validation", "train")
"""What a task may be drawn from beside its own source."""
_NAMED = 5
_SHOWN_CHARACTERS = 60

Key = TypeVar("Key", bound=Hashable)


class _Asked(NamedTuple):
    images: tuple[str, ...]
    text: str
    question: str
    answer: str


def find_leaks(sets: Sets) -> list[dict[str, Any]]:
    """Return what the sets share that must share nothing; an empty list is the good case.

    The test set, and each task that has its own source, are held against train and validation together; validation
    is held against train. Images are equal when their stored bytes are; texts that questions are about, when every
    character is; questions and answers when they are, but for upper and lower case and blanks. Groups that the data
    name (`columns.group`) are compared for the run's own sets alone: another data set may number its patients alike.
    `groups` counts the distinct images, texts, triples or groups that are shared, `examples` the evaluation set's rows
    that show them. A task on the training set shares everything by design, and is left out.
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
    return [
        {"evaluation_set": evaluation_set, "learned_set": learned_set, **finding}
        for evaluation_set, evaluated, learned_set, learned_examples in against
        for finding in _shared(evaluated, learned_examples, documents=evaluation_set in OWN_SETS)
    ]


def _shared(evaluated: Sequence[Example], learned: Sequence[Example], *, documents: bool) -> Iterator[dict[str, Any]]:
    if documents:
        yield from _finding("same group", _documents, _document_name, evaluated, learned)
    yield from _finding("same image", _image_hashes, _image_names, evaluated, learned)
    yield from _finding("same image, question and answer", _shown_and_asked, _asked_in_words, evaluated, learned)
    yield from _finding("same text", _texts, _text_in_words, evaluated, learned)
    yield from _finding("same question and answer, no image", _only_asked, _asked_in_words, evaluated, learned)


def _finding(
    kind: str,
    keys: Callable[[Example], Iterable[Hashable]],
    words: Callable[[Example], str],
    evaluated: Sequence[Example],
    learned: Sequence[Example],
) -> Iterator[dict[str, Any]]:
    known = {key for example in learned for key in keys(example)}
    leaked = [(example, shared) for example in evaluated if (shared := known.intersection(keys(example)))]
    if leaked:
        first = dict.fromkeys(words(example) for example, _ in leaked)
        yield {
            "kind": kind,
            "groups": len(set().union(*(shared for _, shared in leaked))),
            "examples": len(leaked),
            "first": list(first)[:_NAMED],
        }


def _documents(example: Example) -> list[str]:
    return [document] if (document := document_of(example.group)) else []


def _document_name(example: Example) -> str:
    return document_of(example.group)


def _image_hashes(example: Example) -> list[str]:
    return [image.content_hash() for image in example.images]


def _shown_and_asked(example: Example) -> list[_Asked]:
    return [_asked(example)] if example.images else []


def _only_asked(example: Example) -> list[_Asked]:
    return [] if example.has_context else [_asked(example)]


def _asked(example: Example) -> _Asked:
    questions = " ".join(turn.text for turn in example.turns if turn.role == "user")
    return _Asked(tuple(_image_hashes(example)), example.context, plain_text(questions), plain_text(example.answer))


def _texts(example: Example) -> list[str]:
    return [example.context] if example.context else []


def _text_in_words(example: Example) -> str:
    text = " ".join(example.context.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _image_names(example: Example) -> str:
    return ", ".join(image.name for image in example.images)


def _asked_in_words(example: Example) -> str:
    shown = f" ({_image_names(example)})" if example.images else ""
    return f"{example.question} → {example.answer}{shown}"
