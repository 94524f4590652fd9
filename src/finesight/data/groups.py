"""Groups: what is never divided between sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from finesight.data.disjoint_sets import DisjointSets
from finesight.data.look_alikes import NO_LOOK_ALIKES, LookAlikes
from finesight.schema import Example, ImageSource

_HASH_DIGITS = 24
_DOCUMENT = "group:"
_DRAWING = "drawing:"


def image_group(image: ImageSource) -> str:
    """Return the group of everything that shows `image`."""
    return _image_group(image.content_hash())


def text_group(text: str) -> str:
    """Return the group of everything whose context is `text`."""
    return f"text:{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def drawing_group(text: str) -> str:
    """Return the group of a drawing, given its path-a-line text: whether a model reads that text or sees a picture."""
    return f"{_DRAWING}{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"


def join_groups(examples: Iterable[Example], look_alikes: LookAlikes = NO_LOOK_ALIKES) -> list[Example]:
    """Return the examples, those that share a group, an image or a text as their context now in one group.

    So do those whose images look alike. A document with two images, and another document that shows one of them, make
    one group; it has the alphabetically first of the names that it is joined from.
    """
    listed = list(examples)
    joined = DisjointSets()
    for example in listed:
        for name in ties_of(example, look_alikes):
            joined.join(example.group, name)
    return [
        example
        if (group := joined.first(example.group)) == example.group
        else replace(example, group=group, group_as_read=_as_read(example))
        for example in listed
    ]


def ties_of(example: Example, look_alikes: LookAlikes = NO_LOOK_ALIKES) -> set[str]:
    """Return the names of the groups that an example itself belongs to: that it was read with, its images', its text's.

    Not the name of a group joined since, which is another example's: what an example does not show ties it to nothing.
    """
    ties = {_as_read(example)}
    for image in example.images:
        content_hash = image.content_hash()
        ties |= {_image_group(content_hash), _image_group(look_alikes.families.get(content_hash, content_hash))}
    if example.context:
        ties.add(text_group(example.context))
    return ties


def group_of(images: tuple[ImageSource, ...], document: str, question: str) -> str:
    """Return the group an example starts from: its document where the data names one, its image, or what is asked.

    Without an image, what asks the same stays together, or rows that stand twice would be learned and asked.
    """
    if document:
        return f"{_DOCUMENT}{document}"
    if images:
        return image_group(images[0])
    return text_group(plain_text(question))


def document_of(example: Example) -> str:
    """Return the document (patient, …) that the data name for an example, or nothing where they name none."""
    group = _as_read(example)
    return group.removeprefix(_DOCUMENT) if group.startswith(_DOCUMENT) else ""


def drawing_of(example: Example) -> str:
    """Return what is drawn, where that is what an example is about, or nothing: equal drawings give equal words."""
    group = _as_read(example)
    return group.removeprefix(_DRAWING) if group.startswith(_DRAWING) else ""


def plain_text(text: str) -> str:
    """Return the form in which two questions count as the same: without capitals and further blanks."""
    return " ".join(text.casefold().split())


def by_group(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Return the examples of each group, both in the order in which they are met."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    return groups


def _as_read(example: Example) -> str:
    return example.group_as_read or example.group


def _image_group(content_hash: str) -> str:
    return f"image:{content_hash[:_HASH_DIGITS]}"
