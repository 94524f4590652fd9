"""What one stage needs, and whether that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from finesight.plan.blueprint import Device
from finesight.plan.changes import Situation
from finesight.plan.engines import bytes_by_engine
from finesight.plan.simulate import Simulated, simulate
from finesight.plan.workload import Workload
from finesight.recipe.recipe import Stage
from finesight.runtime import Engine
from finesight.train.engines import find_obstacle, spreads

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
    refused: Mapping[Engine, str]
    """The engines that cannot train this stage, and with what not."""

    @property
    def bytes(self) -> int:
        """Return the most that is held at once: of several GPUs, under the usual engine, DDP."""
        if self.gpus == 1:
            return max(self.needs.training.bytes, self.needs.answering.bytes)
        return bytes_by_engine(self.needs, self.gpus)["ddp"]

    @property
    def bytes_by_engine(self) -> dict[Engine, int]:
        """Return the most that each GPU holds under every engine that can train the stage; of one GPU, nothing."""
        if self.gpus == 1:
            return {}
        held = bytes_by_engine(self.needs, self.gpus)
        return {engine: size for engine, size in held.items() if engine not in self.refused}

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
    return StagePlan(stage, work, needs, situation.gpus, _refused(situation, stage, work))


def peaks_by_engine(plans: Sequence[StagePlan]) -> dict[Engine, int]:
    """Return the most that each GPU holds in any stage, under every engine that can train all; of one GPU, nothing."""
    each = [plan.bytes_by_engine for plan in plans]
    return {engine: max(held[engine] for held in each) for engine in each[0] if all(engine in held for held in each)}


def fits(needed_bytes: int, gib: float) -> Literal["yes", "barely", "no"]:
    """Return whether it fits into a GPU's memory: `yes`, `barely` where nothing is to spare, or `no`."""
    if needed_bytes <= USABLE * gib * 2**30:
        return "yes"
    return "barely" if needed_bytes <= gib * 2**30 else "no"


def _refused(situation: Situation, stage: Stage, work: Workload) -> dict[Engine, str]:
    refused: dict[Engine, str] = {}
    for engine in get_args(Engine):
        if spreads(engine) and work.rows_differ:
            refused[engine] = "rows of which some have an image and others none"
        elif obstacle := find_obstacle(engine, situation.model, stage.train):
            refused[engine] = obstacle.what
    return refused


def to_gib(held: int) -> float:
    """Return bytes in GiB."""
    return round(held / 2**30, 3)
