"""Images as a model takes them: the arguments of its forward pass, by their names."""

from __future__ import annotations

from collections.abc import Mapping

import torch

Pixels = Mapping[str, torch.Tensor]
"""As `pixel_values`, float[images, 3, height, width]; some families have more, as the grid that each image lies in."""
FEATURES = "image_features"
"""The name under which features stand that the vision encoder has given before: float[images, features, hidden]."""


def move(pixels: Pixels | None, device: torch.device, dtype: torch.dtype) -> Pixels | None:
    """Return the same on `device`, with numbers in `dtype`; what is counted stays whole numbers."""
    if pixels is None:
        return None
    return {name: tensor.to(device, dtype if tensor.is_floating_point() else None) for name, tensor in pixels.items()}
