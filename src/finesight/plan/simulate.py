"""A training step and an evaluation on fake tensors: the peak of each by cause, and the operations of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import DynamicCache, PreTrainedModel

from finesight.branches.images import image_arguments
from finesight.branches.layout import Layout
from finesight.branches.loss import learned_losses, row_arguments
from finesight.models.parts import PartMap, bare_name, bare_parameters
from finesight.models.pixels import Pixels, move
from finesight.models.reach import without_value_checks
from finesight.plan.blueprint import Device, blueprint, fill_with_fakes, planned_dtype
from finesight.plan.known import KnownNumbers
from finesight.plan.optimizers import planned_optimizer
from finesight.plan.workload import Largest
from finesight.recipe.model import Model
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.train.batches import RowBatch
from finesight.train.memory import Cause, MemoryMeter, Peak


@dataclass(frozen=True)
class Simulated:
    """What a stage holds and computes."""

    training: Peak
    answering: Peak
    weights: int
    """Bytes of all weights, adapters included."""
    gradients: int
    """Bytes of all gradients."""
    optimizer: int
    """Bytes of the optimizer's states."""
    learning: int
    """How many weights learn."""
    layers: tuple[int, ...]
    """Bytes of each layer that FSDP takes apart by itself; the rest of the weights is in none."""
    parameters: int
    """How many weights there are, adapters included."""
    flops: int
    """Floating point operations of the training batch, forward and backward."""

    @property
    def bytes_a_weight(self) -> float:
        """Return how much a weight takes on average."""
        return self.weights / self.parameters


def simulate(spec: Model, stage: Stage, largest: Largest, *, data_root: Path, device: Device) -> Simulated:
    """Return what a stage of training would hold and compute, and its evaluation with it.

    Raises as `blueprint` does.
    """
    model, parts = blueprint(spec, stage, data_root, device)
    meter = MemoryMeter(_vocabulary(model))
    with FakeTensorMode(allow_non_fake_inputs=True), meter, KnownNumbers(), without_value_checks():
        fill_with_fakes(model)
        _watch(model, parts, meter)
        _count_weights(model, meter)
        step = _Step(model, stage.train, planned_dtype(spec, device), meter)
        optimizer = planned_optimizer(model, stage.train, device)
        _make_states(model, optimizer, meter)
        meter.restart()
        model.train()
        for batch in reversed(largest.training):
            optimizer.zero_grad(set_to_none=True)
            for _ in range(min(2, largest.batches_a_step)):
                flops_before = meter.flops
                step.learn_from(batch)
        # Of the last one simulated, which is the first.
        flops, gradients = meter.flops - flops_before, meter.live("gradients")
        with meter.counting_as("optimizer"):
            optimizer.step()
        training = meter.peak
        optimizer.zero_grad(set_to_none=True)
        meter.restart()
        model.eval()
        step.answer(largest.answering, largest.questions)
        return Simulated(
            training=training,
            answering=meter.peak,
            weights=meter.live("weights") + meter.live("adapters"),
            gradients=gradients,
            optimizer=meter.live("optimizer"),
            learning=sum(each.numel() for each in model.parameters() if each.requires_grad),
            layers=tuple(_layer_bytes(model)),
            parameters=sum(each.logical_size for each in bare_parameters(model)),
            flops=flops,
        )


@dataclass(frozen=True)
class _Step:
    """What goes through the model, of fake tensors."""

    model: nn.Module
    train: Train
    dtype: torch.dtype
    meter: MemoryMeter

    def learn_from(self, batch: RowBatch) -> None:
        """Compute loss and gradients, as the trainer does."""
        layout, pixels = self._take(batch)
        with self._autocast():
            losses = learned_losses(self.model, layout, pixels, self.dtype)
        loss = losses.sum() / losses.numel()
        with self.meter.counting_as("activations"):
            loss.backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()  # in inference mode operations arrive whole, and what they are made of is not seen
    def answer(self, batch: RowBatch, questions: int) -> None:
        """Read rows as long as with their answers, and keep their keys and values: no step of answering needs more."""
        layout, pixels = self._take(batch)
        last = torch.zeros(len(layout.input_ids), questions, dtype=torch.long)
        self.model(
            input_ids=layout.input_ids,
            **row_arguments(self.model, layout, self.dtype),
            past_key_values=_CountedCache(self.meter),
            use_cache=True,
            logits_to_keep=last,
            **image_arguments(self.model, pixels),
        )

    def _take(self, batch: RowBatch) -> tuple[Layout, Pixels | None]:
        """Return a batch of fake tensors, counted: what it was made of outside is no part of the device."""
        layout = batch.layout.changed(torch.Tensor.clone)
        with self.meter.counting_as("image tower"):
            pixels = batch.pixels and {name: each.clone() for name, each in batch.pixels.items()}
            return layout, move(pixels, torch.device("cpu"), self.dtype)

    def _autocast(self) -> AbstractContextManager[object]:
        if not (self.train.bf16 or self.train.fp16):
            return nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16 if self.train.bf16 else torch.float16)


class _CountedCache(DynamicCache):  # type: ignore[misc]
    """Counts the keys and values that it keeps."""

    def __init__(self, meter: MemoryMeter) -> None:
        super().__init__()
        self._meter = meter

    def update(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep keys and values of a layer, and return all of that layer."""
        keys, values = super().update(*args, **kwargs)
        self._meter.count(keys, "answer cache")
        self._meter.count(values, "answer cache")
        return keys, values


def _count_weights(model: nn.Module, meter: MemoryMeter) -> None:
    for parameter in bare_parameters(model):
        meter.count(parameter.parameter, "adapters" if parameter.is_adapter else "weights")
    for buffer in model.buffers():
        meter.count(buffer, "weights")


def _make_states(model: nn.Module, optimizer: torch.optim.Optimizer, meter: MemoryMeter) -> None:
    """Let the optimizer make its states, as its first step does: from the second step on they stand beside the rest."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter, requires_grad=False)
    with meter.counting_as("optimizer"):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _watch(model: nn.Module, parts: PartMap, meter: MemoryMeter) -> None:
    """Tell the meter from now on what the model is at: its vision encoder, the rest of it, a gradient."""
    _count_inside(model, "activations", meter)
    for name, module in model.named_modules():
        if bare_name(name) in parts.prefixes["vision"]:
            _count_inside(module, "image tower", meter)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda learned: meter.count(gradient_of(learned), "gradients")
            )


def _count_inside(module: nn.Module, cause: Cause, meter: MemoryMeter) -> None:
    ends: list[Callable[[], None]] = []

    def begin(*_: object) -> None:
        ends.append(meter.begin(cause))

    def end(*_: object) -> None:
        ends.pop()()

    module.register_forward_pre_hook(begin)
    module.register_forward_hook(end)


def gradient_of(parameter: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a parameter that has one."""
    assert parameter.grad is not None, "asked for behind a backward pass"
    return parameter.grad


def _vocabulary(model: nn.Module) -> int:
    """Return how many tokens the model's head scores."""
    config = next(module.config for module in model.modules() if isinstance(module, PreTrainedModel))
    return int(config.get_text_config(decoder=True).vocab_size)


def _layer_bytes(model: nn.Module) -> Iterator[int]:
    """Yield the bytes of every layer that FSDP takes apart by itself: the outermost modules of lists."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for outer in lists for child in outer for module in child.modules()}
    for layers in lists:
        if id(layers) not in inner:
            for layer in layers:
                yield sum(each.numel() * each.element_size() for each in layer.parameters())
