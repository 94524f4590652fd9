"""From a number to a scene."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from random import Random

from finesight.data.scenes.world import (
    COLOURS,
    MOST_OBJECTS,
    PAINTS,
    RADII,
    RGB,
    RIMS,
    SHAPES,
    SHEETS,
    SIZES,
    Scene,
    Thing,
)

_LEAST_DISTANCE = 0.95
"""Between two centres, as a share of the radii's sum: objects may touch and overlap a little, but never hide."""
_MARGIN = 0.01
_TRIES = 60
_KINDS = list(itertools.product(SHAPES, COLOURS))


@lru_cache(maxsize=4096)
def plan_scene(number: int) -> Scene:
    """Return scene `number`: one to six objects at places off any grid, the same for the same number everywhere."""
    random = Random(number)
    kinds = random.sample(_KINDS, random.randint(1, MOST_OBJECTS))
    while (circles := _place(len(kinds), random)) is None:
        pass
    things = [
        Thing(shape, colour, SIZES[size], random.choice(RIMS), x, y, radius, _shade(PAINTS[colour], random))
        for (shape, colour), (size, x, y, radius) in zip(kinds, circles, strict=True)
    ]
    paper = (random.randint(228, 255), random.randint(228, 255), random.randint(228, 255))
    return Scene(number, tuple(sorted(things, key=lambda thing: thing.x)), random.choice(SHEETS), paper)


def _place(count: int, random: Random) -> list[tuple[int, float, float, float]] | None:
    """Return size, place and radius of so many objects, or None where the sheet has no room for them."""
    sizes = sorted((random.randrange(len(SIZES)) for _ in range(count)), reverse=True)
    placed: list[tuple[int, float, float, float]] = []
    for size in sizes:
        radius = random.uniform(*RADII[SIZES[size]])
        for _ in range(_TRIES):
            x, y = (random.uniform(radius + _MARGIN, 1 - radius - _MARGIN) for _ in range(2))
            if all(
                math.hypot(x - other_x, y - other_y) > _LEAST_DISTANCE * (radius + other_radius)
                for _, other_x, other_y, other_radius in placed
            ):
                placed.append((size, x, y, radius))
                break
        else:
            return None
    random.shuffle(placed)
    return placed


def _shade(paint: RGB, random: Random) -> RGB:
    red, green, blue = (min(255, max(0, channel + random.randint(-10, 10))) for channel in paint)
    return red, green, blue
