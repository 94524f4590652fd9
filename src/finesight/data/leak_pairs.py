"""Two examples that should have nothing in common, as data.json shows them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from finesight.data.images import THUMBNAILS, thumbnail_name, write_thumbnail
from finesight.schema import Example, ImageSource, Sets

_SHOWN_CHARACTERS = 60

Name = Callable[[Example], str]
"""What a person is told of an example, beside its image."""


class Meeting(NamedTuple):
    """An example that is measured on, and one that is learned from, with what ties them."""

    tie: Hashable
    evaluated: Example
    learned: Example
    images: tuple[str, str] | None = None
    """The content hashes of the two images, where images tie them."""
    distance: int | None = None
    """In how many of 64 bits the images' perceptual hashes differ, where they look alike."""


def in_words(met: Meeting, name: Name) -> str:
    """Return what a meeting is about, for a list of the first few."""
    if met.images is None:
        return name(met.evaluated)
    here, there = (image.name for image in _tied_images(met))
    if met.distance is not None:
        return f"{here} ≈ {there} (distance {met.distance})"
    return here if here == there else f"{here} = {there}"


def describe_pair(met: Meeting, name: Name) -> dict[str, Any]:
    """Return a meeting as data.json has it: id and name on both sides, and the thumbnail where there is an image."""
    if met.images is None:
        sides = [
            _side(example, name(example), example.images[0] if example.images else None)
            for example in (met.evaluated, met.learned)
        ]
    else:
        here, there = _tied_images(met)
        sides = [_side(met.evaluated, here.name, here), _side(met.learned, there.name, there)]
    pair: dict[str, Any] = {"evaluated": sides[0], "learned": sides[1]}
    return pair if met.distance is None else {**pair, "distance": met.distance}


def show_leaks(sets: Sets, leaks: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Write the thumbnails of all pairs into a run folder. Raises `OSError` when an image cannot be decoded."""
    sides = (pair[side] for leak in leaks for pair in leak["pairs"] for side in ("evaluated", "learned"))
    wanted = {Path(side["thumbnail"]).name for side in sides if "thumbnail" in side}
    if not wanted:
        return
    everything = (sets.train, sets.validation, sets.test, *(task.examples for task in sets.tasks))
    for image in (image for examples in everything for example in examples for image in example.images):
        if thumbnail_name(image) in wanted:
            write_thumbnail(image, folder / THUMBNAILS)


def name_images(example: Example) -> str:
    """Return the names of an example's images, or its text's beginning where it has none."""
    return ", ".join(image.name for image in example.images) or name_text(example)


def name_text(example: Example) -> str:
    """Return the beginning of the text that an example is about."""
    text = " ".join(example.context.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def name_answer(example: Example) -> str:
    """Return what an example asks, of which images, and the answer."""
    images = f" ({name_images(example)})" if example.images else ""
    return f"{example.question} → {example.answer}{images}"


def _tied_images(met: Meeting) -> tuple[ImageSource, ImageSource]:
    assert met.images is not None
    here, there = met.images
    return _image_of(met.evaluated, here), _image_of(met.learned, there)


def _image_of(example: Example, content_hash: str) -> ImageSource:
    return next(image for image in example.images if image.content_hash() == content_hash)


def _side(example: Example, name: str, image: ImageSource | None) -> dict[str, str]:
    told = {"id": example.id, "name": name}
    return {**told, "thumbnail": f"{THUMBNAILS}/{thumbnail_name(image)}"} if image else told
