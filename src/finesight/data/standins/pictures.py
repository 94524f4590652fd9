"""Pictures that stand in for a person's own: small, and no two of them alike."""

from __future__ import annotations

import io
from random import Random

from PIL import Image, ImageDraw

COLOURS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 210)}
_SIZE = (64, 48)
"""Not square, as photographs are not."""
_TILES = (4, 3)


def picture_name(number: int) -> str:
    """Return the file name of picture `number`."""
    return f"stand-in-{number:05}.png"


def picture_colour(number: int) -> str:
    """Return the colour of what picture `number` shows."""
    return list(COLOURS)[number % len(COLOURS)]


def draw_picture(number: int) -> bytes:
    """Return picture `number` as the bytes of a PNG file: a coloured disc on a ground that no other picture has.

    The ground is tiled, or two pictures would pass for copies of one another.
    """
    random = Random(number)
    tiles = Image.frombytes("L", _TILES, random.randbytes(_TILES[0] * _TILES[1]))
    shades = (number % 256, number // 256 % 256, 230)
    grounds = [tiles.point([(tile + 3 * shade) // 4 for tile in range(256)]) for shade in shades]
    picture = Image.merge("RGB", grounds).resize(_SIZE, Image.Resampling.NEAREST)
    x, y, radius = random.randint(16, 48), random.randint(16, 32), random.randint(8, 14)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), COLOURS[picture_colour(number)])
    stored = io.BytesIO()
    picture.save(stored, format="PNG")
    return stored.getvalue()
