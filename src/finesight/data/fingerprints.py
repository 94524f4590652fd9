"""What tells whether data are still the same: a hash of everything that was read, by set and source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from finesight.schema import Example

Fingerprints = Mapping[str, Mapping[str, str]]
"""A hash by set and source."""


def differences(earlier: Fingerprints, now: Fingerprints) -> list[str]:
    """Return what is not as it was, as `trainset.json (train)`."""
    places = dict.fromkeys((name, source) for sets in (earlier, now) for name in sets for source in sets[name])
    return [
        f"{source} ({name})"
        for name, source in places
        if earlier.get(name, {}).get(source) != now.get(name, {}).get(source)
    ]


def fingerprint(examples: Iterable[Example]) -> dict[str, str]:
    """Return a hash for each source of a set: of texts, answers, images (their stored bytes) and their order."""
    hashes: dict[str, hashlib._Hash] = {}
    for example in examples:
        said = tuple((turn.role, turn.text, turn.learned) for turn in example.turns)
        images = tuple(image.content_hash() for image in example.images)
        content = (
            example.id, example.role, example.weight, example.context, said, images, example.references,
            example.choices, example.letters,
        )  # fmt: skip
        hashes.setdefault(example.source, hashlib.sha256()).update(repr(content).encode("utf-8", "surrogatepass"))
    return {source: found.hexdigest()[:16] for source, found in hashes.items()}
