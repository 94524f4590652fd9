"""The loss of rows with branches: a sum over learned tokens, so that it can be divided by all of a step's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from finesight.branches.images import image_arguments
from finesight.branches.layout import Layout
from finesight.branches.mask import Places, attention_mask
from finesight.branches.own_rows import own_row_arguments
from finesight.models.pixels import Pixels


def learned_losses(model: nn.Module, layout: Layout, pixels: Pixels | None, dtype: torch.dtype) -> torch.Tensor:
    """Return the cross entropy of every learned token in nats: float32[learned], row by row.

    Logits exist only where a token is learned. Gradients flow; the caller sums and divides.
    """
    outputs = model(
        input_ids=layout.input_ids,
        logits_to_keep=layout.learned,
        use_cache=False,
        **row_arguments(model, layout, dtype),
        **image_arguments(model, pixels),
    )
    labels = layout.next_labels[layout.learned]
    return nn.functional.cross_entropy(outputs.logits.float(), labels, reduction="none")


def row_arguments(model: nn.Module, layout: Layout, dtype: torch.dtype) -> dict[str, Any]:
    """Return who sees whom, and where tokens stand: said by us, or left to the family where a question has its row."""
    if layout.row_inputs is not None:
        return own_row_arguments(layout, layout.row_inputs)
    places = Places.of(layout)
    mask = attention_mask(model, places, places, dtype)
    return {"position_ids": layout.position_ids, "attention_mask": mask}
