"""How moondream2 looks closer: an image is seen whole, and cut into crops whose features are put together again.

The cutting follows the published code: of 2024 (`vision_encoder.py`) at one of four sizes, of 2025 (`image_crops.py`)
into up to twelve crops that overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

Grid = tuple[int, int]
"""Rows and columns of crops."""
_SMALL_SIDE = 512
"""An image whose longer side is below this is seen whole alone, in 2024."""
_GRIDS_OF_2024: tuple[Grid, ...] = ((1, 1), (1, 2), (2, 1), (2, 2))


def choose_grid_2024(width: int, height: int, size: int) -> Grid:
    """Return the grid of crops for an image, as the revisions of 2024 choose it; (0, 0) where it is seen whole alone.

    It is the one whose shape is nearest to the image's, and of two squares the one whose size is.
    """
    if max(width, height) < _SMALL_SIDE:
        return 0, 0

    def difference(grid: Grid) -> tuple[float, int]:
        rows, columns = grid
        return abs(columns / rows - width / height), abs(rows * size - width) + abs(columns * size - height)

    nearest = min(_GRIDS_OF_2024, key=difference)
    return (0, 0) if nearest == (1, 1) else nearest


def choose_grid_2025(width: int, height: int, size: int, margin: int, most_crops: int) -> Grid:
    """Return the grid of overlapping crops for an image, as the revisions of 2025 choose it; (0, 0) for one crop.

    `size` is a crop's side and `margin` how far it reaches into its neighbours, in pixels. A single crop is the whole
    image again.
    """
    window = size - 2 * margin
    high, wide = height - 2 * margin, width - 2 * margin
    if high <= window or wide <= window:
        return 0, 0
    least_rows, least_columns = math.ceil(high / window), math.ceil(wide / window)
    if least_rows * least_columns > most_crops:
        ratio = math.sqrt(most_crops / (least_rows * least_columns))
        rows, columns = max(1, math.floor(least_rows * ratio)), max(1, math.floor(least_columns * ratio))
    else:
        rows = max(math.floor(math.sqrt(most_crops * high / wide)), least_rows)
        columns = max(math.floor(math.sqrt(most_crops * wide / high)), least_columns)
        if rows * columns > most_crops:
            if columns > rows:
                columns = math.floor(most_crops / rows)
            else:
                rows = math.floor(most_crops / columns)
        rows, columns = max(1, rows), max(1, columns)
    return (0, 0) if (rows, columns) == (1, 1) else (rows, columns)


def cut_crops(
    image: Image.Image, grid: Grid, *, size: int, margin: int, resample: Image.Resampling
) -> list[Image.Image]:
    """Return the crops of an image, row by row, each `size` pixels wide and high; none for the grid (0, 0)."""
    rows, columns = grid
    if not rows:
        return []
    window = size - 2 * margin
    resized = image.resize((columns * window + 2 * margin, rows * window + 2 * margin), resample)
    return [
        resized.crop((left, top, left + size, top + size))
        for top in range(0, rows * window, window)
        for left in range(0, columns * window, window)
    ]


def stitch_crops(
    whole: torch.Tensor, of_crops: torch.Tensor, grids: Sequence[Sequence[int]], overlap: int
) -> torch.Tensor:
    """Return the features of each image's crops, averaged down to as many patches as the whole image has.

    `whole` is float[images, patches, hidden], `of_crops` float[crops, patches, hidden] and the result as `whole`; an
    image of the grid (0, 0) has its own features there. `overlap` is how many patches a crop reaches into its
    neighbours: there, the neighbour's are left out.
    """
    side = math.isqrt(whole.shape[1])
    counts = [rows * columns for rows, columns in grids]
    stitched = []
    for own, crops, (rows, columns) in zip(whole, torch.split(of_crops, counts), grids, strict=True):
        if not rows:
            stitched.append(own)
            continue
        squares = crops.view(rows, columns, side, side, -1)
        lines = [
            torch.cat(
                [_inner(squares[row, column], row, column, (rows, columns), overlap) for column in range(columns)],
                dim=1,
            )
            for row in range(rows)
        ]
        picture = torch.cat(lines).permute(2, 0, 1)
        stitched.append(nn.functional.adaptive_avg_pool2d(picture, (side, side)).flatten(1).T)
    return torch.stack(stitched)


def _inner(square: torch.Tensor, row: int, column: int, grid: Grid, overlap: int) -> torch.Tensor:
    """Return a crop's features, float[side, side, hidden], without its margins, but for those at the image's edge."""
    side, (rows, columns) = len(square), grid
    top, left = overlap * (row > 0), overlap * (column > 0)
    bottom, right = side - overlap * (row < rows - 1), side - overlap * (column < columns - 1)
    return square[top:bottom, left:right]
