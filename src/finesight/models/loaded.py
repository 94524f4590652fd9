"""A model ready for use, as every room above sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from finesight.models.formatter import Formatter
from finesight.models.parts import PartMap, bare_name
from finesight.schema import PartName


@dataclass(frozen=True)
class Traits:
    """What a family can do."""

    sees_images: bool
    takes_custom_mask: bool
    """Whether rows with branches are possible; else every example is a row of its own."""


@dataclass
class Loaded:
    """A model, the way it is spoken to, and the map of its parts.

    `model` becomes a `PeftModel` once adapters are added; everything else stays.
    """

    model: PreTrainedModel
    formatter: Formatter
    parts: PartMap
    traits: Traits
    meta_twin: Callable[[], PreTrainedModel]
    """Builds the same model without weights, from its configuration alone: what the audit compares with."""
    random_parts: frozenset[PartName] = frozenset()
    """Parts that began as random numbers: no checkpoint elsewhere holds them, so the run folder must."""
    changed_parts: set[PartName] = field(default_factory=set)
    """Parts whose own weights have been tuned so far, or had adapters merged into them."""
    earlier_parts: frozenset[PartName] = frozenset()
    """Parts whose own weights an earlier run has changed: what it left is nowhere else, so the run folder keeps it."""
    trains_on: bool = False
    """Whether the adapters that the model came with, an earlier run's, are trained on and not merged."""

    @property
    def device(self) -> torch.device:
        """Return where the model computes."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def module(self, name: str) -> nn.Module:
        """Return the module of a bare name, whether or not peft has wrapped the model."""
        found: nn.Module = next(each for wrapped, each in self.model.named_modules() if bare_name(wrapped) == name)
        return found
