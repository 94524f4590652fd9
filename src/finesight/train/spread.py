"""A model that an engine has spread over processes, and the whole one that everything else of a run works with."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from finesight.models.loaded import Loaded
from finesight.runtime import Engine


class SpreadModel:
    """Trains a twin of a model, which an engine may take apart, and gives the model back its weights when asked.

    FSDP and ZeRO rebuild a model where it stands: its parameters become pieces, and no forward pass is one process's
    own matter any more. So the engine gets a twin: the same modules over the same tensors, which from then on are the
    twin's alone. The model itself stays as it was loaded, without weights while the twin learns; for a validation, a
    checkpoint, and at the end, it is whole again.
    """

    def __init__(self, loaded: Loaded, engine: Engine) -> None:
        self._loaded = loaded
        self._engine = engine
        self._device = loaded.device
        self._is_apart = engine == "fsdp"
        own = list(loaded.model.parameters())
        shared = {id(each): nn.Parameter(each.data, requires_grad=each.requires_grad) for each in own}
        self.twin: nn.Module = copy.deepcopy(loaded.model, dict(shared))
        self._empty()
        if engine == "fsdp":
            shard_layers(self.twin)

    def taken_apart(self) -> None:
        """Note that the engine has its pieces: FSDP at once, DeepSpeed when it is started."""
        self._is_apart = True

    @contextmanager
    def whole(self, device: torch.device | None = None) -> Iterator[None]:
        """Give the model all its weights on every process, where it computes or on `device`, until the block ends."""
        self.put_together(device)
        try:
            yield
        finally:
            self._empty()

    @torch.no_grad()
    def put_together(self, device: torch.device | None = None) -> None:
        """Give the model all its weights, as the twin has them now. For all processes at the same time."""
        for parameter, piece in zip(self._loaded.model.parameters(), self.twin.parameters(), strict=True):
            whole = whole_tensor(piece, self._engine) if self._is_apart else piece.detach()
            # A copy always: what an engine gives may be its own buffer.
            parameter.data = whole.to(device or self._device, parameter.dtype, copy=True)

    def close(self) -> None:
        """Leave the model with all its weights, and the next one to be built as if no engine had been there."""
        self.put_together()
        if self._engine.startswith("zero"):
            unset_hf_deepspeed_config()

    def _empty(self) -> None:
        for parameter in self._loaded.model.parameters():
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=self._device)


def shard_layers(model: nn.Module) -> None:
    """Let PyTorch's FSDP2 take a model apart, in place: layer by layer, and what is in no layer together.

    accelerate does the same on GPUs alone.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for outer in lists for child in outer for module in child.modules()}
    for layers in lists:
        if id(layers) not in inner:
            for layer in layers:
                fully_shard(layer)
    fully_shard(model)


def is_sharded(model: nn.Module) -> bool:
    """Return whether FSDP has taken a model apart."""
    return isinstance(model, FSDPModule)


@contextmanager
def without_renaming_warnings() -> Iterator[None]:
    """Hide what torch 2.13 says to DeepSpeed 0.19 at every exchange: that a function has got another name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.distributed.* is deprecated", category=FutureWarning)
        yield


def whole_tensor(parameter: nn.Parameter, engine: Engine) -> torch.Tensor:
    """Return all of a parameter of which an engine has given each process a piece. For all processes together."""
    if engine == "fsdp":
        return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()
    import deepspeed
    from deepspeed.utils import safe_get_full_fp32_param

    if parameter.requires_grad:
        learned: torch.Tensor = safe_get_full_fp32_param(parameter)
        return learned
    if engine == "zero3":
        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()
    return parameter.detach()
