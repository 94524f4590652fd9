"""Pictures for a page: an image as the model gets it, and the drawing that a text says."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from PIL import Image

from finesight.data.svg.path_lines import restore
from finesight.data.svg.render import render
from finesight.errors import DataError
from finesight.models.formatter import Formatter
from finesight.models.image_formatter import ImageFormatter, open_image
from finesight.models.pixels import Pixels
from finesight.schema import Example, ImageSource

DRAWN_PIXELS = 256
SHOWN_PIXELS = 512


def write_pictures(pixels: Pixels | None, images: Sequence[ImageSource], formatter: Formatter) -> list[str]:
    """Return the encoder's input as pictures again, each a data URI.

    A processor that cuts pictures into tiles or patches leaves none to show: then they are the images as they are.
    """
    if pixels is None:
        return []
    if not isinstance(formatter, ImageFormatter):
        return [_data_uri(_fitted(open_image(image))) for image in images]
    seen = to_pixels(pixels["pixel_values"], formatter.image_settings()).permute(0, 2, 3, 1).numpy()
    return [_data_uri(Image.fromarray(picture)) for picture in seen]


def to_pixels(pixels: torch.Tensor, settings: dict[str, Any]) -> torch.Tensor:
    """Return the pictures that an image processor of these settings made `pixels` of: uint8[images, 3, height, width].

    `pixels` are float[images, 3, height, width].
    """
    if settings["do_normalize"]:
        mean, deviation = (torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))
        pixels = pixels * deviation + mean
    if settings["do_rescale"]:
        pixels = pixels / settings["rescale_factor"]
    return pixels.round().clamp(0, 255).to(torch.uint8)


def draw_context(example: Example) -> list[dict[str, Any]]:
    """Return the drawing that an example's text says, where it is one and the extra `svg` is installed."""
    text = example.context.strip()
    if not text or find_spec("resvg_py") is None:
        return []
    try:
        drawing = render(text if text.startswith("<") else restore(text), DRAWN_PIXELS)
    except DataError:  # a text of another kind
        return []
    return [{"name": "the text, drawn", "is_drawn": True, "picture": _data_uri(drawing)}]


def _fitted(picture: Image.Image) -> Image.Image:
    """Return a picture at most so large as is shown."""
    picture.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS))
    return picture


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
