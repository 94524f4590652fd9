"""Pictures that look alike: one of them saved anew, at another size or quality.

Two look alike when their pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010: the
signs of low frequencies against their median) differs in at most 6 of 64 bits, and no pixel of their 32×32 thumbnails
differs by more than 0.4 of the thumbnails' contrast (standard deviation). The second look is what counts: flat
pictures, drawings and X-rays hash alike although they differ.

Measured (benchmarks/look_alikes.py) on 108 photographs (COCO), 315 X-rays and scans (VQA-RAD) and 367 drawn puzzles
(PuzzleVQA): pairs of different files whose hashes agree but for 6 bits are 0, 0 and 203, of which the second look
leaves none; by dHash they would be 0, 276 and 3,222. Of copies in half the width, as JPEG of quality 60, it finds
100 %, 100 % and 93 %; in a quarter of the width 98 %, 100 % and 64 %. What finesight draws itself is not looked at: a
scene is known by its number, a drawing by what it draws.

Pictures are decoded in full, 3 ms each on one core, and need not be decoded again to verify them. A JPEG decoded at a
reduced size takes 1 ms, but its thumbnail differs by up to 68 of 255 from that of a copy stored otherwise.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy
from numpy.typing import NDArray
from PIL import Image

from finesight.data.disjoint_sets import DisjointSets
from finesight.data.image_cache import known_looks, remember_looks
from finesight.data.images import StoredImage
from finesight.data.near_hashes import near_pairs
from finesight.runtime import follow
from finesight.schema import ImageSource

LOOK_SIDE_PIXELS = 32
"""A look is a picture squeezed into a square of this side, in RGB."""
MOST_DISTANCE = 6
"""Bits of 64 in which the hashes of two look-alikes may differ."""
MOST_DIFFERENCE = 0.4
"""How far any pixel of two looks may differ, as a share of their contrast."""
_HASH_SIDE = 8
_LUMINANCE = numpy.array([0.299, 0.587, 0.114], dtype=numpy.float32)
_AT_ONCE = 1000
_LOOKS_A_WRITE = 500
_THREADS = min(8, os.cpu_count() or 1)

Item = TypeVar("Item")
Looks = NDArray[numpy.uint8]
"""uint8[images, 32, 32, 3]."""


@dataclass(frozen=True)
class LookAlikes:
    """Which pictures look alike."""

    families: Mapping[str, str] = field(default_factory=dict)
    """For the content hash of each picture that has look-alikes, one name for all of them. Whatever looks like a member
    belongs to the family: a film's pictures may make one family, though its first and its last show other things."""
    hashes: Mapping[str, int] = field(default_factory=dict)
    """The perceptual hash of each picture that was looked at, by its content hash."""

    def distance(self, one: str, other: str) -> int:
        """Return in how many of 64 bits the perceptual hashes of two pictures differ, given their content hashes."""
        return (self.hashes[one] ^ self.hashes[other]).bit_count()


NO_LOOK_ALIKES = LookAlikes()


def find_look_alikes(images: Iterable[ImageSource]) -> LookAlikes:
    """Return which of the pictures are copies of one another, but for their size and how they were compressed.

    Copies that are cropped, mirrored, turned or recoloured are not found. What was looked at in an earlier run is not
    decoded again. A picture that does not open looks like none; `verify_images` names it.
    """
    stored = {image.content_hash(): image for image in images if isinstance(image, StoredImage)}
    names = sorted(stored)
    known = {name for chunk in _chunks(names) for name in known_looks(chunk)}
    _look_at({name: stored[name] for name in names if name not in known})

    families, hashes = DisjointSets(), dict[str, int]()
    first_with: dict[bytes, str] = {}
    for chunk in _chunks(names):
        looks = known_looks(chunk)
        hashes |= zip(looks, map(int, hash_looks(_stack(looks.values()))), strict=True)
        for name, look in looks.items():
            # One of each look is enough to compare: a thousand blank pages are not a million pairs.
            families.join(name, first_with.setdefault(hashlib.sha256(look).digest(), name))
    for one, other in _near_and_alike(list(first_with.values()), hashes):
        families.join(one, other)
    members = Counter(families.first(name) for name in hashes)
    return LookAlikes({name: family for name in hashes if members[family := families.first(name)] > 1}, hashes)


def look_of(picture: Image.Image) -> bytes:
    """Return a picture's look, row by row, three bytes a pixel."""
    side = (LOOK_SIDE_PIXELS, LOOK_SIDE_PIXELS)
    return picture.convert("RGB").resize(side, Image.Resampling.BILINEAR).tobytes()


def hash_looks(looks: Looks) -> NDArray[numpy.uint64]:
    """Return the perceptual hash of each look: uint64[images]."""
    waves = _waves()
    heights = waves @ (looks @ _LUMINANCE) @ waves.T
    flat = heights.reshape(len(looks), _HASH_SIDE * _HASH_SIDE)
    bits = flat > numpy.median(flat, axis=-1, keepdims=True)
    return numpy.packbits(bits, axis=-1).view(numpy.uint64).reshape(len(looks))


def are_alike(looks: Looks, others: Looks) -> NDArray[numpy.bool_]:
    """Return for each pair of looks whether they show the same: bool[pairs]."""
    one, other = looks.astype(numpy.float32), others.astype(numpy.float32)
    difference = numpy.abs(one - other).mean(axis=-1).max(axis=(1, 2))
    contrast = (_contrast(one) + _contrast(other)) / 2
    alike: NDArray[numpy.bool_] = difference <= MOST_DIFFERENCE * contrast
    return alike


def _waves() -> NDArray[numpy.float32]:
    """Return the cosines of the eight lowest frequencies but the constant one: float32[8, 32]."""
    frequency = numpy.arange(1, _HASH_SIDE + 1)[:, None]
    place = numpy.arange(LOOK_SIDE_PIXELS) + 0.5
    return numpy.cos(numpy.pi * frequency * place / LOOK_SIDE_PIXELS).astype(numpy.float32)


def _contrast(looks: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    contrast: NDArray[numpy.float32] = numpy.sqrt(looks.var(axis=(1, 2)).mean(axis=-1))
    return contrast


def _look_at(images: Mapping[str, ImageSource]) -> None:
    """Remember the looks of these pictures, by content hash."""
    # Some at a time: threads that run ahead would gather the looks of all of them in memory.
    followed = follow(images, "Looking at the images", len(images))
    with ThreadPoolExecutor(_THREADS) as threads:
        while names := list(itertools.islice(followed, _LOOKS_A_WRITE)):
            looks = threads.map(_open_and_look, (images[name] for name in names))
            remember_looks({name: look for name, look in zip(names, looks, strict=True) if look is not None})


def _open_and_look(image: ImageSource) -> bytes | None:
    try:
        return look_of(image.open())
    except OSError:
        return None


def _near_and_alike(names: Sequence[str], hashes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    near = near_pairs(numpy.array([hashes[name] for name in names], dtype=numpy.uint64), MOST_DISTANCE)
    pairs = ((names[one], names[other]) for one, other in near)
    while chunk := list(itertools.islice(pairs, _AT_ONCE)):
        looks = known_looks(sorted(set(itertools.chain.from_iterable(chunk))))
        ones, others = (_stack(looks[pair[side]] for pair in chunk) for side in (0, 1))
        yield from itertools.compress(chunk, are_alike(ones, others))


def _stack(looks: Iterable[bytes]) -> Looks:
    return numpy.frombuffer(b"".join(looks), numpy.uint8).reshape(-1, LOOK_SIDE_PIXELS, LOOK_SIDE_PIXELS, 3)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
