"""How images are handed to a model."""

from __future__ import annotations

from typing import Any

import torch


def image_arguments(pixel_values: torch.Tensor | None) -> dict[str, Any]:
    """Return the arguments of a forward pass that show images: none where there are none.

    A model that sees no images takes no `pixel_values`, not even None.
    """
    return {} if pixel_values is None else {"pixel_values": pixel_values}
