"""The `tune:` section: for each part, frozen, lora or full."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finesight.recipe.base import Spec
from finesight.schema import PartName


class Lora(Spec):
    """Low-rank adapters (Hu et al. 2021), by peft. Field names are `LoraConfig`'s."""

    method: Literal["lora"]
    """Small matrices beside the frozen ones."""
    r: int = Field(default=16, gt=0)
    """Rank of the adapters."""
    lora_alpha: float = Field(default=32, gt=0)
    """Their effect is scaled by lora_alpha / r."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the adapters. Only at 0 do rows with branches equal separate rows to the last digit."""
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of linear layers inside this part, as q_proj; they never match outside it."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r) instead."""
    use_dora: bool = False
    """Learn magnitude and direction apart."""


PartTuning = Literal["frozen", "full"] | Lora


class Tune(Spec):
    """What learns. Each part is `frozen`, `full`, or `{method: lora, …}`."""

    vision: PartTuning = "frozen"
    """The vision encoder."""
    projector: PartTuning = "frozen"
    """The network between the two."""
    language: PartTuning = "frozen"
    """The language model."""

    def of(self, part: PartName) -> PartTuning:
        """Return how `part` is tuned."""
        match part:
            case "vision":
                return self.vision
            case "projector":
                return self.projector
            case "language":
                return self.language
