"""The loss of rows with branches: a sum over learned tokens, so that it can be divided by all of a step's."""

from __future__ import annotations

import torch
from torch import nn

from finesight.branches.images import image_arguments
from finesight.branches.layout import Layout
from finesight.branches.mask import Places, attention_mask
from finesight.models.pixels import Pixels


def learned_losses(model: nn.Module, layout: Layout, pixels: Pixels | None, dtype: torch.dtype) -> torch.Tensor:
    """Return the cross entropy of every learned token in nats: float32[learned], row by row.

    Logits exist only where a token is learned. Gradients flow; the caller sums and divides.
    """
    places = Places.of(layout)
    outputs = model(
        input_ids=layout.input_ids,
        position_ids=layout.position_ids,
        attention_mask=attention_mask(model, places, places, dtype),
        logits_to_keep=layout.learned,
        use_cache=False,
        **image_arguments(model, pixels),
    )
    labels = layout.next_labels[layout.learned]
    return nn.functional.cross_entropy(outputs.logits.float(), labels, reduction="none")
