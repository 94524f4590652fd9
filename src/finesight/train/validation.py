"""The validation loss: the sum over all learned tokens divided by their number, not a mean of means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch

from finesight.branches.contexts import batch_rows, divide_context
from finesight.branches.loss import learned_losses
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.processes import gathered, in_rounds
from finesight.runtime import StopRequest, follow, process_count, process_index
from finesight.train.batches import make_batch
from finesight.train.losses import LossSums


@torch.no_grad()
def validation_losses(loaded: Loaded, contexts: Sequence[Encoded], *, max_tokens: int, stop: StopRequest) -> LossSums:
    """Return the loss over `contexts`, by source and role. It depends on neither batches nor processes.

    Several processes share the batches, and all get the whole. Raises `Interrupted` between batches when one of them
    is asked to stop.
    """
    loaded.model.eval()
    rows = [row for context in contexts for row in divide_context(context, max_tokens=max_tokens)]
    batches = batch_rows(rows, max_tokens=max_tokens)[process_index() :: process_count()]
    sums = LossSums()

    def add_each() -> Iterator[list[int]]:
        for number, rows_of_batch in enumerate(follow(batches, "validating", len(batches))):
            batch = make_batch(rows_of_batch, loaded.formatter).to(loaded.device, loaded.model.dtype)
            sums.add(learned_losses(loaded.model, batch.layout, batch.pixels, loaded.model.dtype), batch.learned)
            yield [number]

    for _ in in_rounds(add_each(), stop):
        pass  # what counts is in the sums
    loaded.model.train()
    return reduce(LossSums.plus, gathered(sums))
