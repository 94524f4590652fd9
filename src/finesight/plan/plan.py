"""What a recipe will need, before a run and without a GPU: peak memory by cause, operations, and what would fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from finesight.models.published import describe_stand_ins
from finesight.plan.blueprint import Device
from finesight.plan.changes import Situation
from finesight.plan.rows import find_rows
from finesight.plan.search import find_changes
from finesight.plan.stage_plan import StagePlan, fits, peaks_by_engine, plan_stage, to_gib
from finesight.recipe.recipe import Recipe
from finesight.runtime import say
from finesight.train.memory import CAUSES, Peak

USUAL_GIB = (16.0, 24.0, 48.0, 80.0)
"""What GPUs have."""


def plan_recipe(
    recipe: Recipe,
    data_root: Path,
    *,
    max_tokens: int,
    gpus: int = 1,
    gpu_memory_gib: float | None = None,
    device: Device = "cuda",
) -> dict[str, Any]:
    """Return what a run of the recipe will need, as `finesight plan --json` prints it.

    With `gpu_memory_gib`, also what to change where it does not fit: each change was planned, too. Raises `ModelError`
    where the model's configuration is not at hand and no blueprint stands in for it, `UserError` for a recipe that
    cannot be trained.
    """
    for words in describe_stand_ins(recipe.model, data_root):
        say(words)
    rows = find_rows(recipe, data_root)
    situation = Situation.of(recipe, rows, max_tokens=max_tokens, gpus=gpus)
    plan_one = partial(plan_stage, data_root=data_root, device=device)
    plans = [plan_one(situation, stage) for stage in situation.stages]
    needed = max(plan.bytes for plan in plans)
    content: dict[str, Any] = {
        "recipe": recipe.name,
        "rows": rows.describe(),
        "max_tokens_per_device": max_tokens,
        "gpus": gpus,
        "stages": [describe_stage(plan) for plan in plans],
        "peak_gib": to_gib(needed),
        "fits": [describe_fit(plans, gib) for gib in sorted({*USUAL_GIB, gpu_memory_gib or USUAL_GIB[0]})],
    }
    if gpu_memory_gib is not None:
        content["gpu_memory_gib"] = gpu_memory_gib
        if fits(needed, gpu_memory_gib) != "yes":
            content["changes"] = find_changes(situation, plans, gpu_memory_gib, plan_one)
    return content


def describe_fit(plans: Sequence[StagePlan], gib: float) -> dict[str, Any]:
    """Return whether all stages fit into GPUs of `gib`: of several, under ddp and under each engine."""
    by_engine = {engine: fits(held, gib) for engine, held in peaks_by_engine(plans).items()}
    return {"gib": gib, "fits": fits(max(plan.bytes for plan in plans), gib), "engines": by_engine}


def describe_stage(plan: StagePlan) -> dict[str, Any]:
    """Return what the plan's JSON says of a stage."""
    batch, answering = plan.work.largest.training[0].layout, plan.work.largest.answering.layout
    return {
        "stage": plan.stage.name,
        "peak_gib": to_gib(plan.bytes),
        "training": describe_peak(plan.needs.training),
        "evaluation": describe_peak(plan.needs.answering),
        "engines": {engine: to_gib(held) for engine, held in plan.bytes_by_engine.items()},
        "engines_refused": dict(plan.refused) if plan.gpus > 1 else {},
        "largest_batch": {
            "rows": batch.input_ids.shape[0],
            "tokens": batch.input_ids.shape[1],
            "learned_tokens": int(batch.learned.sum()),
        },
        "largest_evaluation_batch": {
            "rows": answering.input_ids.shape[0],
            "tokens": answering.input_ids.shape[1],
        },
        "batches_a_step": plan.work.largest.batches_a_step,
        "steps": plan.work.steps,
        "teraflops_a_step": round(plan.flops_a_step / 1e12, 3),
    }


def describe_peak(peak: Peak) -> dict[str, float]:
    """Return what is held at the worst moment, in GiB: all of it, and for each cause."""
    held: dict[str, float] = {
        cause: to_gib(peak.bytes_by_cause[cause]) for cause in CAUSES if cause in peak.bytes_by_cause
    }
    return {"total": to_gib(peak.bytes), **held}
