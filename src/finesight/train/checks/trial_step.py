"""Losses and steps on a few real rows, for the checks that compute: as training computes them, on one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from finesight.branches.contexts import batch_rows
from finesight.branches.loss import learned_losses
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.models.parts import NamedParameter, bare_parameters, is_quantized
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.train.batches import RowBatch, make_batch
from finesight.train.step_plan import Step, deal_rows

MOST_TOKENS = 2048
"""In the rows that are learned from on trial: enough to learn from, and few enough for a minute."""
LOSS_SCALES = (2.0**16, 2.0**12, 2.0**8, 1.0)
"""What a loss in float16 is multiplied by, so that small gradients are no zeros: the largest that gives numbers."""


@dataclass(frozen=True)
class Trial:
    """A prepared model and the rows it is tried on."""

    loaded: Loaded
    stage: Stage
    batch: RowBatch

    @classmethod
    def of(cls, loaded: Loaded, stage: Stage, step: Step, learned: Sequence[Encoded], *, max_tokens: int) -> Trial:
        """Return a trial on rows of the stage's first step; an image among them where the stage learns from images."""
        rows = batch_rows(_rows_of(loaded, stage, step, learned, max_tokens), max_tokens=min(max_tokens, MOST_TOKENS))
        with_image = [batch for batch in rows if any(row.images for row in batch)]
        batch = make_batch((with_image or rows)[0], loaded.formatter)
        return cls(loaded, stage, batch.to(loaded.device, loaded.model.dtype))

    @property
    def learning(self) -> dict[str, nn.Parameter]:
        """What learns, by its bare name; of an adapter, by its own."""
        return {each.name: each.parameter for each in self._parameters if each.parameter.requires_grad}

    @property
    def adapters(self) -> set[str]:
        """The names of those that are adapters'."""
        return {each.name for each in self._parameters if each.is_adapter}

    @property
    def _parameters(self) -> Iterator[NamedParameter]:
        return bare_parameters(self.loaded.model)

    def loss(self) -> torch.Tensor:
        """Return the loss a learned token, with its graph: float32[]."""
        return losses_of(self.loaded, self.batch, self.stage.train).mean()

    @torch.no_grad()
    def settled_loss(self) -> float:
        """Return the loss a learned token without dropout."""
        self.loaded.model.eval()
        return float(self.loss())

    def gradients(self) -> float:
        """Compute the gradients of one pass, and return its loss. They stand at the parameters, not scaled."""
        self.loaded.model.train()
        for scale in LOSS_SCALES if self.stage.train.fp16 else (1.0,):
            self.drop_gradients()
            loss = self.loss()
            # A loss without a graph reaches nothing: the check of gradients says so.
            if loss.requires_grad:
                torch.autograd.backward(loss * scale)
            there = [parameter.grad for parameter in self.learning.values() if parameter.grad is not None]
            for gradient in there:
                gradient.div_(scale)
            if all(bool(gradient.isfinite().all()) for gradient in there):
                break
        return float(loss.detach())

    def drop_gradients(self) -> None:
        """Drop every gradient."""
        self.loaded.model.zero_grad(set_to_none=True)


def losses_of(loaded: Loaded, batch: RowBatch, train: Train) -> torch.Tensor:
    """Return the loss of every learned token in the number format that training computes in: float32[learned]."""
    with autocast(loaded.device, train):
        return learned_losses(loaded.model, batch.layout, batch.pixels, loaded.model.dtype)


def autocast(device: torch.device, train: Train) -> AbstractContextManager[object]:
    """Return the context in which training computes."""
    if train.bf16 or train.fp16:
        return torch.autocast(device.type, torch.bfloat16 if train.bf16 else torch.float16)
    return nullcontext()


def computing_format(loaded: Loaded, train: Train) -> torch.dtype:
    """Return the number format of most products in a step."""
    # Packed weights are multiplied in a format of their own, by default bfloat16.
    if train.bf16 or any(is_quantized(parameter) for parameter in loaded.model.parameters()):
        return torch.bfloat16
    dtype: torch.dtype = torch.float16 if train.fp16 else loaded.model.dtype
    return dtype


@contextmanager
def checkpointed(loaded: Loaded, train: Train) -> Iterator[None]:
    """Let the block compute activations twice where the recipe does."""
    if train.gradient_checkpointing:
        loaded.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    try:
        yield
    finally:
        if train.gradient_checkpointing:
            loaded.model.activation_checkpointing_disable()


def _rows_of(loaded: Loaded, stage: Stage, step: Step, learned: Sequence[Encoded], max_tokens: int) -> list[Encoded]:
    rows = [row for (share,) in [deal_rows(step, max_tokens=max_tokens, ranks=1)] for batch in share for row in batch]
    learns_from_images = stage.tune.vision != "frozen" or stage.tune.projector != "frozen"
    if learns_from_images and loaded.traits.sees_images and not any(row.images for row in rows):
        first = next((context for context in learned if context.images), None)
        return [first.with_branches(first.branches[:1])] if first else rows
    return rows
