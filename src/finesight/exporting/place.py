"""The folder that is exported to: there whole, or refused under another name, and never by half."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from finesight.errors import CheckFailed, UserError, WriteError
from finesight.evaluate.agreement import Agreement
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.rundir import RunDir, how_to_go_on

_SPARE_BYTES = 2**28
"""Room for the tokenizer, and for whatever else is written meanwhile."""


def refused_name(target: Path) -> Path:
    """Return where an export lies that does not answer as the tuned model did."""
    return target.with_name(f"{target.name}.refused")


def require_exportable(run: RunDir) -> None:
    """Raise `UserError` where a folder holds no tuned and measured model."""
    if run.is_evaluation or run.is_rehearsal:
        what = "an evaluation, which tuned nothing" if run.is_evaluation else "a rehearsal, whose model is a miniature"
        raise UserError(f"{run.path}: {what}", hint="give a run")
    if not run.load("verdict"):
        raise UserError(f"{run.path}: the run is not finished", hint=how_to_go_on(run.path))


def require_free(target: Path) -> None:
    """Raise `UserError` where something is in the way of an export."""
    for path in (target, refused_name(target)):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path}: there is something already", hint="name a new folder, or take it away first")


def require_room(loaded: Loaded, dtype: torch.dtype, target: Path) -> None:
    """Raise `UserError` when the disk of `target` has no room for the model's weights in `dtype`."""
    wanted = sum(each.logical_size for each in bare_parameters(loaded.model) if not each.is_adapter) * dtype.itemsize
    there = target.resolve()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if wanted + _SPARE_BYTES > free:
        raise UserError(
            f"the weights take {wanted / 2**30:.1f} GiB, and the disk of {there} has {free / 2**30:.1f} GiB free",
            hint="name a folder on another disk, or a smaller number format (--dtype bfloat16)",
        )


def require_same(agreement: Agreement, folder: Path, target: Path) -> None:
    """Raise `CheckFailed` where the model in `folder` is not the tuned one; it is then moved to a name that says so."""
    if agreement.holds:
        return
    refused = refused_name(target)
    put_in_place(folder, refused)
    name, ours, theirs = agreement.disagreed[0]
    raise CheckFailed(
        f"the exported model is not the tuned one: of {agreement.questions} questions they disagree on "
        f"{len(agreement.disagreed)}, first on {name}: {ours.text!r} (the right answer at {ours.nats_per_token:.3f} "
        f"nats a token) became {theirs.text!r} ({theirs.nats_per_token:.3f}); what was written lies in {refused}",
        hint="--dtype float32 writes the weights without rounding; if they disagree even so, this is a fault of "
        "finesight: please report it",
    )


def put_in_place(folder: Path, target: Path) -> None:
    """Move a folder that is whole to where it belongs; an empty folder there gives way."""
    if target.is_dir():
        target.rmdir()  # it is empty, or nothing would have been written
    folder.rename(target)


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` to write into; what becomes of it is for the block to say, by moving it.

    Whatever was not moved is taken away. Raises `WriteError` when the disk is full.
    """
    staging = target.with_name(f"{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
    except SafetensorError as error:
        raise WriteError(f"{target}: the model cannot be written ({error})", hint="is the disk full?") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
