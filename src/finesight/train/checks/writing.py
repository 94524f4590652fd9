"""The checks that a checkpoint can be written and read where the run will write, and that there is room for all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from finesight.errors import ModelError
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.rundir import TRIAL_PREFIX
from finesight.train.checks.check import Check
from finesight.train.checks.room import free_disk_bytes, in_gib, standing_part
from finesight.train.checks.trial_step import Trial
from finesight.train.checks.untouched import fingerprint
from finesight.tune.weights import load_trained, save_trained

STATES = {"adamw_torch": 2.0, "adamw_torch_fused": 2.0, "adamw_8bit": 0.6, "paged_adamw_8bit": 0.6, "sgd": 0.0}
"""What an optimizer keeps, as multiples of what learns; 2 for others at most (bitsandbytes: a byte a state of float32,
and its scales)."""


def check_checkpoint(trial: Trial, folder: Path) -> tuple[Check, int]:
    """Write a checkpoint's weights beside the run folder, read them back, compare them, and delete them.

    Returns the check, and how many bytes they took: 0 where they could not be written. What learns is set to zero in
    between, so that what is read is seen to be read.
    """
    name, place = f"checkpoint of {trial.stage.name}", standing_part(folder)
    hint = "give another --output, make room, or mend the folder's permissions"
    try:
        with tempfile.TemporaryDirectory(prefix=TRIAL_PREFIX, dir=place) as temporary:
            lost, size = _write_and_read(trial, Path(temporary))
    except (OSError, SafetensorError, ModelError) as error:
        return Check(name, "failure", f"it cannot be written and read in {place}: {error}", hint=hint), 0
    if lost:
        return Check(
            name,
            "failure",
            f"{len(lost)} tensors come back otherwise than they were written (first: {lost[0]})",
            hint="is the disk sound? If another --output shows the same, please report it with `finesight env`",
        ), size
    return Check(name, "pass", f"{in_gib(size)} written in {place}, read back bit for bit, and deleted"), size


def checkpoint_bytes(stage: Stage, learning: Iterable[nn.Parameter], weights: int) -> int:
    """Return what a checkpoint takes on disk whose weights take `weights` bytes: the optimizer's states come to it."""
    learned = sum(parameter.numel() * parameter.element_size() for parameter in learning)
    return weights + round(STATES.get(stage.train.optim, 2.0) * learned)


def check_disk(stage: Stage, size: int, folder: Path, *, standing: int) -> Check:
    """Compare the free disk with a stage's checkpoints of `size` bytes each.

    While one is written, the best one and the last `save_total_limit` are there, and `standing` bytes of the stages
    before: what they keep stays.
    """
    count = most_checkpoints(stage.train)
    needed, free = count * size + standing, free_disk_bytes(folder)
    beside = f", {in_gib(standing)} of the stages before beside them" if standing else ""
    told = f"{count} checkpoints of {in_gib(size)} are there at most{beside}: {in_gib(needed)}; {in_gib(free)} are free"
    if needed > free:
        hint = "make room, give another --output, or lower train.save_total_limit"
        return Check(f"disk of {stage.name}", "failure", told, hint=hint)
    return Check(f"disk of {stage.name}", "pass", told)


def checkpoints_at_rest(train: Train) -> int:
    """Return how many checkpoints a stage leaves at most: the last ones, and the best one."""
    return max(train.save_total_limit, 2)


def most_checkpoints(train: Train) -> int:
    """Return how many checkpoints of a stage are on disk at the same time at most, the one being written included."""
    return checkpoints_at_rest(train) + 1


@torch.no_grad()
def _write_and_read(trial: Trial, folder: Path) -> tuple[list[str], int]:
    """Return the names of the tensors that did not come back as they were, and the bytes written."""
    written = {name: fingerprint(parameter) for name, parameter in trial.learning.items()}
    save_trained(trial.loaded, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    for parameter in trial.learning.values():
        parameter.zero_()
    load_trained(trial.loaded, folder)
    read = {name: fingerprint(parameter) for name, parameter in trial.learning.items()}
    return [name for name in written if written[name] != read.get(name)], size
