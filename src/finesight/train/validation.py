"""The validation loss: the sum over all learned tokens divided by their number, not a mean of means."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from finesight.branches.contexts import batch_rows, divide_context
from finesight.branches.loss import learned_losses
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.runtime import StopRequest, follow
from finesight.train.batches import make_batch
from finesight.train.losses import LossSums


@torch.no_grad()
def validation_losses(loaded: Loaded, contexts: Sequence[Encoded], *, max_tokens: int, stop: StopRequest) -> LossSums:
    """Return the loss over `contexts`, by source and role. It depends on neither batches nor processes."""
    loaded.model.eval()
    rows = [row for context in contexts for row in divide_context(context, max_tokens=max_tokens)]
    batches = batch_rows(rows, max_tokens=max_tokens)
    sums = LossSums()
    for rows_of_batch in follow(batches, "validating", len(batches)):
        batch = make_batch(rows_of_batch, loaded.formatter).to(loaded.device, loaded.model.dtype)
        sums.add(learned_losses(loaded.model, batch.layout, batch.pixels, loaded.model.dtype), batch.learned)
        stop.raise_if_asked()
    loaded.model.train()
    return sums
