"""The deep checks: a stage tried on real rows, with everything put back afterwards."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.runtime import chosen_engine, say
from finesight.schema import PART_NAMES, PartName
from finesight.train.checks.check import Check
from finesight.train.checks.formats import check_formats
from finesight.train.checks.one_step import (
    check_frozen,
    check_step,
    describe_lack,
    lacking_room_for_gradients,
    take_step,
)
from finesight.train.checks.packing import check_packing
from finesight.train.checks.parameters import check_parameters
from finesight.train.checks.ten_steps import STEPS, check_ten_steps, lacking_room
from finesight.train.checks.trial_step import Trial, checkpointed
from finesight.train.checks.untouched import Kept, Snapshot, fingerprints, random_state_kept
from finesight.train.checks.writing import check_checkpoint, check_disk, checkpoint_bytes, checkpoints_at_rest
from finesight.train.engines import spreads
from finesight.train.step_plan import plan_steps
from finesight.tune.trial import on_trial


@dataclass(frozen=True)
class Tried:
    """What came of trying a stage."""

    checks: tuple[Check, ...]
    checkpoint_bytes: int
    """What one of the stage's checkpoints takes on disk; 0 where the trial did not come so far."""


def preflight_stages(
    loaded: Loaded,
    stages: Iterable[tuple[Stage, Sequence[Encoded]]],
    *,
    seed: int,
    max_tokens: int,
    folder: Path,
    begun: Collection[str] = (),
) -> dict[str, list[Check]]:
    """Return the deep checks of a run's stages by their names, but for those that have `begun`.

    Each stage comes with what it learns from. `folder` is where the run will write.
    """
    found: dict[str, list[Check]] = {}
    changed: set[PartName] = set()
    standing = 0
    for stage, learned in stages:
        if stage.name not in begun:
            say(f"{stage.name}: trying some {STEPS + 2} steps on real rows, which are taken back")
            tried = preflight(loaded, stage, learned, seed=seed, max_tokens=max_tokens, folder=folder, changed=changed)
            say(f"{stage.name}: {tried.checks[-1].message}")
            checks = found[stage.name] = [*tried.checks]
            if size := tried.checkpoint_bytes:
                checks.append(check_disk(stage, size, folder, standing=standing))
                standing += checkpoints_at_rest(stage.train) * size
        changed.update(part for part in PART_NAMES if stage.tune.of(part) != "frozen")
    return found


def preflight(
    loaded: Loaded,
    stage: Stage,
    learned: Sequence[Encoded],
    *,
    seed: int,
    max_tokens: int,
    folder: Path,
    changed: Collection[PartName] = (),
) -> Tried:
    """Return the deep checks of a stage, and leave `loaded` as it was, bit for bit: the last check says so.

    The stage is prepared on the untuned model; rows are those of its own first step. `folder` is where the run will
    write, `changed` the parts that the stages before this one change: its checkpoints hold these too. What comes after
    a failure that ends the trial is not looked at.
    """
    started = time.monotonic()
    before = Snapshot.of(loaded.model)
    checks: list[Check] = []
    size = 0
    with random_state_kept(), on_trial(loaded, stage, is_first=not changed) as table:
        loaded.changed_parts.update(part for part in changed if part in loaded.parts.present)
        if table["refusals"]:
            checks.append(check_parameters({**table, "stage": stage.name}))
        else:
            step = plan_steps(learned, stage.train, seed)[0]
            trial = Trial.of(loaded, stage, step, learned, max_tokens=max_tokens)
            with checkpointed(loaded, stage.train):
                size = _try_stage(trial, before.bits, table, learned, folder, checks)
    if loaded.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    checks.append(check_put_back(stage, before, Snapshot.of(loaded.model), time.monotonic() - started))
    return Tried(tuple(checks), size)


def check_put_back(stage: Stage, before: Snapshot, after: Snapshot, seconds: float) -> Check:
    """The trial has left no trace in the model."""
    name = f"trial of {stage.name}"
    if different := before.differences(after):
        return Check(
            name,
            "failure",
            f"the model is not what it was before the trial: {', '.join(different[:3])}",
            hint="this should not happen; please report it with `finesight env`",
        )
    return Check(name, "pass", f"{seconds:.1f} seconds; all {len(after.bits)} tensors are bit for bit as before it")


def _try_stage(
    trial: Trial,
    before: Mapping[str, int],
    table: Mapping[str, Any],
    learned: Sequence[Encoded],
    folder: Path,
    checks: list[Check],
) -> int:
    """Add what is found to `checks`, and return the bytes of a checkpoint; 0 where it did not come so far."""
    try:
        is_sound = _try_step(trial, table, learned, checks)
    except torch.OutOfMemoryError as error:
        trial.drop_gradients()
        checks.append(_pardoned(describe_lack(trial, error)))
        return 0
    return _try_learning(trial, before, folder, checks) if is_sound else 0


def _try_step(trial: Trial, table: Mapping[str, Any], learned: Sequence[Encoded], checks: list[Check]) -> bool:
    """Add what is found without changing anything to `checks`, and return whether a step can be taken."""
    checks.append(check_formats(trial))
    if checks[-1].status == "failure":
        return False
    checks.append(check_packing(trial.loaded, trial.stage, learned))
    if lacking := lacking_room_for_gradients(trial):
        checks.append(_pardoned(lacking))
        return False
    found = list(check_step(trial, take_step(trial), table))
    checks += found
    return all(check.status != "failure" for check in found)


def _try_learning(trial: Trial, before: Mapping[str, int], folder: Path, checks: list[Check]) -> int:
    """Add what is found by changing what learns to `checks`, put it back, and return the bytes of a checkpoint."""
    learning = trial.learning
    lacking = lacking_room(trial, chosen_engine())
    kept = None if lacking else Kept(learning)
    if lacking:
        checks.append(lacking)
    if kept:
        checks.append(_ten_steps(trial, kept))
    checks.append(check_frozen(trial.stage, before, fingerprints(trial.loaded.model), set(learning)))
    written, size = check_checkpoint(trial, folder)
    checks.append(written)
    if kept:
        kept.put_back()
    return checkpoint_bytes(trial.stage, learning.values(), size) if size else 0


def _ten_steps(trial: Trial, kept: Kept) -> Check:
    """Return the check of ten steps; where they did not fit beside the activations, the word that they are left out."""
    try:
        return check_ten_steps(trial, kept)
    except torch.OutOfMemoryError as error:
        trial.drop_gradients()
        told = f"left out: they do not fit into memory ({str(error).splitlines()[0]})"
        hint = "`finesight plan` says what the run itself needs"
        return Check(f"ten steps of {trial.stage.name}", "warning", told, hint=hint)


def _pardoned(check: Check) -> Check:
    """Return a step that did not fit as a warning, where the run itself spreads the model over processes."""
    if not spreads(engine := chosen_engine()):
        return check
    told = f"{check.message} of one process; whether it fits where {engine} spreads it, the run will show"
    return Check(check.name, "warning", told, hint=check.hint)
