"""Pictures for a page: an image as the model gets it, and the drawing that a text says."""

from __future__ import annotations

import base64
import io
from importlib.util import find_spec
from typing import Any

import torch
from PIL import Image

from finesight.data.svg.path_lines import restore
from finesight.data.svg.render import render
from finesight.errors import DataError
from finesight.models.formatter import Formatter
from finesight.models.image_formatter import ImageFormatter
from finesight.models.pixels import Pixels
from finesight.schema import Example

DRAWN_PIXELS = 256


def write_pictures(pixels: Pixels | None, formatter: Formatter) -> list[str]:
    """Return the encoder's input as pictures again, each a data URI."""
    if pixels is None:
        return []
    assert isinstance(formatter, ImageFormatter), "only families that see images give pixels"
    seen = to_pixels(pixels["pixel_values"], formatter.image_processor.to_dict()).permute(0, 2, 3, 1).numpy()
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


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
