"""What a model is, bit for bit, so that it can be proven unchanged and be put back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from finesight.models.parts import bare_name, bare_parameters

_AT_ONCE = 2**22
"""Words whose products are in memory together."""
_ODD = 0x9E3779B97F4A7C15 - 2**64
"""An odd multiplier (Knuth's golden ratio) as int64: neighbouring places weigh quite differently."""


def fingerprint(tensor: torch.Tensor) -> int:
    """Return a number of 64 bits that another tensor of the same shape has only by an unlikely chance.

    It is the sum of all bits as words of 8 bytes, each multiplied by an odd number of its place: a constant tensor
    that became another constant shows, as do two weights that changed places.
    """
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if data.storage_offset() % 8:  # words of 8 bytes begin at such places only
        data = data.clone()
    whole = data.numel() // 8 * 8
    words = data[:whole].view(torch.int64)
    total = torch.zeros((), dtype=torch.int64, device=data.device)
    for number, piece in enumerate(torch.split(words, _AT_ONCE)):
        first = number * _AT_ONCE
        places = torch.arange(first, first + piece.numel(), dtype=torch.int64, device=data.device)
        total += (piece * (2 * places + 1) * _ODD).sum()
    rest = data[whole:].to(torch.int64)
    total += (rest * (2 * torch.arange(rest.numel(), device=data.device) + 1)).sum()
    return int(total)


def fingerprints(model: nn.Module) -> dict[str, int]:
    """Return the fingerprint of every parameter and buffer by its bare name, adapters left out."""
    owned = {parameter.name: parameter.parameter for parameter in bare_parameters(model) if not parameter.is_adapter}
    buffers = {bare_name(name): buffer for name, buffer in model.named_buffers()}
    return {name: fingerprint(tensor) for name, tensor in {**owned, **buffers}.items()}


@dataclass(frozen=True)
class Snapshot:
    """What a model is, without a copy of it."""

    bits: Mapping[str, int]
    learning: frozenset[str]
    is_training: bool
    random_state: tuple[int, int, int]
    """Of Python, numpy and torch."""

    @classmethod
    def of(cls, model: nn.Module) -> Snapshot:
        """Return what `model` is now. It reads every weight once."""
        learning = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
        return cls(fingerprints(model), learning, model.training, _random_fingerprint())

    def differences(self, other: Snapshot) -> list[str]:
        """Name what is not the same in `other`."""
        names = sorted(self.bits.keys() | other.bits.keys())
        found = [name for name in names if self.bits.get(name) != other.bits.get(name)]
        found += [f"whether {name} learns" for name in sorted(self.learning ^ other.learning)]
        if self.is_training != other.is_training:
            found.append("the mode")
        if self.random_state != other.random_state:
            found.append("the random state")
        return found


class Kept:
    """A copy, in main memory, of the tensors that a trial may change."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        # `clone` too: in main memory, `to` returns the tensor itself.
        self._copies = {name: tensor.detach().to("cpu").clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def put_back(self) -> None:
        """Give every tensor the values it had."""
        for name, tensor in self._tensors.items():
            tensor.copy_(self._copies[name])


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Whatever the block draws, draw the same numbers behind it as without it."""
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def _random_fingerprint() -> tuple[int, int, int]:
    arrays = np.random.get_state(legacy=False)
    return hash(random.getstate()), hash(repr(arrays)), fingerprint(torch.random.get_rng_state())
