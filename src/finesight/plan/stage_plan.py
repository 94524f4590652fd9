"""What one stage needs, and whether that fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from finesight.plan.blueprint import Device
from finesight.plan.changes import Situation
from finesight.plan.engines import bytes_by_engine
from finesight.plan.simulate import Simulated, simulate
from finesight.plan.workload import Workload
from finesight.recipe.recipe import Stage
from finesight.train.engines import SPREADABLE

USABLE = 0.9
"""Of a GPU's memory. The rest is for the CUDA context and libraries' workspaces, which are not counted, and for memory
that is free in pieces; and a card of 16 GB reports about 15. (Not yet measured on a GPU.)"""


@dataclass(frozen=True)
class StagePlan:
    """What one stage needs on each GPU."""

    stage: Stage
    work: Workload
    needs: Simulated
    gpus: int
    may_spread: bool
    """Whether an engine may take the model apart."""

    @property
    def bytes(self) -> int:
        """Return the most that is held at once: of several GPUs, under the usual engine, DDP."""
        if self.gpus == 1:
            return max(self.needs.training.bytes, self.needs.answering.bytes)
        return bytes_by_engine(self.needs, self.gpus)["ddp"]

    @property
    def operations(self) -> float:
        """Return the operations of all its steps; of one where only the data would tell how many there are."""
        return self.flops_a_step * (self.work.steps or 1)

    @property
    def flops_a_step(self) -> float:
        """Return the operations of an average step, on all GPUs together."""
        batch = self.work.largest.training[0].layout.input_ids
        return self.needs.flops * self.work.tokens_a_step / batch.numel()


def plan_stage(situation: Situation, stage: Stage, *, data_root: Path, device: Device) -> StagePlan:
    """Return what one stage needs."""
    work = situation.rows.workload(stage, max_tokens=situation.max_tokens, gpus=situation.gpus)
    needs = simulate(situation.model, stage, work.largest, data_root=data_root, device=device)
    may_spread = situation.model.quantization == "none" and stage.train.optim in SPREADABLE
    return StagePlan(stage, work, needs, situation.gpus, may_spread)


def fits(needed_bytes: int, gib: float) -> Literal["yes", "barely", "no"]:
    """Return whether it fits into a GPU's memory: `yes`, `barely` where nothing is to spare, or `no`."""
    if needed_bytes <= USABLE * gib * 2**30:
        return "yes"
    return "barely" if needed_bytes <= gib * 2**30 else "no"


def to_gib(held: int) -> float:
    """Return bytes in GiB."""
    return round(held / 2**30, 3)
