"""What a run has learned from, as fingerprints: a run that continues it is held against them, whatever became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finesight.data.groups import drawing_of, plain_text
from finesight.data.leak_pairs import name_answer, name_images
from finesight.data.leaks import MAYBE_CHANCE, ONLY_ASKED
from finesight.schema import OWN_SETS, Example, Sets

_HASH_DIGITS = 24
_NAMED = 5

Fingerprints = Mapping[str, frozenset[str]]
"""Fingerprints of what was learned from, by the kind of leak that they would be."""


@dataclass(frozen=True)
class LearnedEarlier:
    """What the earlier runs that a run continues have learned from."""

    run: str
    """The last of them, as the recipe names it."""
    train: Fingerprints = field(default_factory=dict)
    """Of all their training sets."""
    validation: Fingerprints = field(default_factory=dict)
    """Of all their validation sets, which chose their checkpoints."""
    is_known: bool = True
    """Whether this is all. A run folder of an older finesight does not say what it has learned from."""

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        sets = {"train": _plain(self.train), "validation": _plain(self.validation)}
        return {"run": self.run, "known": self.is_known, **sets}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LearnedEarlier:
        """Return what `to_json` gave."""
        train, validation = _from_plain(content["train"]), _from_plain(content["validation"])
        return cls(content["run"], train, validation, is_known=content["known"])


def describe_learned(sets: Sets, earlier: LearnedEarlier | None) -> dict[str, Any]:
    """Return the content of learned.json: what the run learns from, and what the runs before it have learned from."""
    return {
        "train": _plain(_fingerprints(sets.train)),
        "validation": _plain(_fingerprints(sets.validation)),
        "earlier": earlier.to_json() if earlier else None,
    }


def learned_by(learned: Mapping[str, Any], run: str) -> LearnedEarlier:
    """Return all that is known of what a run has learned from, given its learned.json (empty where it has none)."""
    if not learned:
        return LearnedEarlier(run, is_known=False)
    own = LearnedEarlier(run, _from_plain(learned["train"]), _from_plain(learned["validation"]))
    if learned["earlier"] is None:
        return own
    before = LearnedEarlier.from_json(learned["earlier"])
    train, validation = _joined(own.train, before.train), _joined(own.validation, before.validation)
    return LearnedEarlier(run, train, validation, is_known=before.is_known)


def find_earlier_leaks(sets: Sets, earlier: LearnedEarlier, threshold: float) -> list[dict[str, Any]]:
    """Return what is measured on, or chooses the checkpoint, and an earlier run has learned from, as data.json has it.

    Validation is held against the earlier training sets; the test set, and each task that has its own source, against
    the earlier validation sets too. Images are the same byte for byte; look-alikes are not found by fingerprints, and
    documents (`columns.group`) are not compared: another data set may number its patients alike.
    """
    learned = _joined(earlier.train, earlier.validation)
    against = [("validation", sets.validation, "train", earlier.train)]
    against += [("test", sets.test, "train and validation", learned)]
    against += [
        (task.name, task.examples, "train and validation", learned)
        for task in sets.tasks
        if task.drawn_from not in OWN_SETS
    ]
    return [
        {"evaluation_set": name, "learned_set": f"{learned_set} of {earlier.run}", **leak}
        for name, evaluated, learned_set, fingerprints in against
        for leak in _leaks(evaluated, fingerprints, threshold)
    ]


def _leaks(evaluated: Sequence[Example], learned: Fingerprints, threshold: float) -> Iterator[dict[str, Any]]:
    met: dict[str, dict[str, list[Example]]] = {}
    for example in evaluated:
        for kind, fingerprint in _ties(example):
            if fingerprint in learned.get(kind, ()):
                met.setdefault(kind, {}).setdefault(fingerprint, []).append(example)
    for kind, shared in met.items():
        examples = len({example.id for of_one in shared.values() for example in of_one})
        name = name_answer if kind == ONLY_ASKED else name_images
        yield {
            "kind": kind,
            "groups": len(shared),
            "examples": examples,
            "share": examples / len(evaluated),
            "first": [name(of_one[0]) for of_one in list(shared.values())[:_NAMED]],
            "pairs": [],
            "within_threshold": kind in MAYBE_CHANCE and examples / len(evaluated) <= threshold,
        }


def _ties(example: Example) -> Iterator[tuple[str, str]]:
    """Yield what an example must not share with what was learned: the kind of leak, and a fingerprint."""
    if drawing := drawing_of(example):
        yield "same drawing", _fingerprint(drawing)
        return
    for image in example.images:
        yield "same image", _fingerprint(image.content_hash())
    if example.context:
        yield "same text", _fingerprint(example.context)
    if not example.has_context:
        questions = " ".join(turn.text for turn in example.turns if turn.role == "user")
        yield ONLY_ASKED, _fingerprint(f"{plain_text(questions)}\n{plain_text(example.answer)}")


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _fingerprints(examples: Iterable[Example]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for example in examples:
        for kind, fingerprint in _ties(example):
            found.setdefault(kind, set()).add(fingerprint)
    return {kind: frozenset(fingerprints) for kind, fingerprints in found.items()}


def _joined(some: Fingerprints, others: Fingerprints) -> dict[str, frozenset[str]]:
    return {kind: some.get(kind, frozenset()) | others.get(kind, frozenset()) for kind in {**some, **others}}


def _plain(fingerprints: Fingerprints) -> dict[str, list[str]]:
    return {kind: sorted(each) for kind, each in fingerprints.items()}


def _from_plain(plain: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    return {kind: frozenset(each) for kind, each in plain.items()}
