"""Groups: what is never divided between sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from finesight.schema import Example, ImageSource

_HASH_DIGITS = 24
_DOCUMENT = "group:"


def image_group(image: ImageSource) -> str:
    """Return the group of everything that shows `image`."""
    return f"image:{image.content_hash()[:_HASH_DIGITS]}"


def text_group(text: str) -> str:
    """Return the group of everything whose context is `text`."""
    return f"text:{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def join_groups(examples: Iterable[Example]) -> list[Example]:
    """Return the examples, those that share a group, an image or a text as their context now in one group.

    A document with two images, and another document that shows one of them, make one group; it has the
    alphabetically first of the names that it is joined from.
    """
    listed = list(examples)
    joined = _DisjointSets()
    for example in listed:
        for image in example.images:
            joined.join(example.group, image_group(image))
        if example.context:
            joined.join(example.group, text_group(example.context))
    return [
        example if (group := joined.first(example.group)) == example.group else replace(example, group=group)
        for example in listed
    ]


def group_of(images: tuple[ImageSource, ...], document: str, question: str) -> str:
    """Return the group an example starts from: its document where the data names one, its image, or what is asked.

    Without an image, what asks the same stays together, or rows that stand twice would be learned and asked.
    """
    if document:
        return f"{_DOCUMENT}{document}"
    if images:
        return image_group(images[0])
    return text_group(plain_text(question))


def document_of(group: str) -> str:
    """Return the document (patient, …) that the data name for a group, or nothing where they name none."""
    return group.removeprefix(_DOCUMENT) if group.startswith(_DOCUMENT) else ""


def plain_text(text: str) -> str:
    """Return the form in which two questions count as the same: without capitals and further blanks."""
    return " ".join(text.casefold().split())


def by_group(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Return the examples of each group, both in the order in which they are met."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    return groups


class _DisjointSets:
    """Names that are joined into sets, each known by its alphabetically first name (Tarjan's union-find)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def first(self, name: str) -> str:
        *path, root = self._climb(name)
        for passed in path:
            self._parents[passed] = root
        return root

    def join(self, one: str, other: str) -> None:
        low, high = sorted((self.first(one), self.first(other)))
        if low != high:
            self._parents[high] = low

    def _climb(self, name: str) -> Iterator[str]:
        yield name
        while (parent := self._parents.get(name, name)) != name:
            name = parent
            yield name
