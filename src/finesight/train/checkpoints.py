"""Which checkpoints of a stage are complete and undamaged, and which one validation chose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from finesight.errors import ModelError, WriteError
from finesight.rundir import write_text
from finesight.runtime import say
from finesight.train.seal import SEAL_FILE, find_damage, seal
from finesight.tune.weights import ADAPTERS_FOLDER, PARTS_FOLDER
from finesight.whole_files import bring_to_disk

BEST_FILE = "best.json"
DAMAGED = "damaged-"
"""What stands before the name of a file or checkpoint that was set aside, for it is not what was written."""
UNUSED = "unused-"
"""What stands before the name of a whole checkpoint that was set aside."""
DELETED = "deleted-"
"""What stands before the name of a checkpoint that is being deleted."""
STAGING_FOLDER = "partial"
"""Where a checkpoint lies until it is whole."""
TORCH_CANNOT_WRITE = "inline_container"
"""The file of torch's own that is named in the RuntimeError with which `torch.save` meets a full disk."""


@dataclass(frozen=True)
class Best:
    """The checkpoint that validation chose."""

    checkpoint: str
    """Folder name, as checkpoint-400."""
    step: int
    metric: str
    score: float
    finished: bool = False
    """Whether the stage has come to its end."""


def last_checkpoint(folder: Path) -> Path | None:
    """Return the latest complete checkpoint, or None. One that was cut off while being written does not count."""
    return max(complete_checkpoints(folder), key=step_of, default=None)


def complete_checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints, in no particular order."""
    return [file.parent for file in folder.glob(f"checkpoint-*/{SEAL_FILE}")]


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


@contextmanager
def written_whole(folder: Path, name: str) -> Iterator[None]:
    """Move the checkpoint that the block writes below `partial/` to its place, whole or not at all.

    When the block has ended it is on the disk itself, and a power cut does not undo it. Raises `WriteError` when it
    cannot be written; the earlier checkpoints stay as they are.
    """
    target = folder / name
    try:
        with full_disk_told(target):
            yield
            seal(folder / STAGING_FOLDER / name)
        if target.exists():  # an earlier one of that name, whose step was taken again
            _delete(target)
        (folder / STAGING_FOLDER / name).replace(target)
        bring_to_disk(folder)
    finally:
        shutil.rmtree(folder / STAGING_FOLDER, ignore_errors=True)


@contextmanager
def full_disk_told(checkpoint: Path) -> Iterator[None]:
    """Raise `WriteError` where the libraries cannot write a file of `checkpoint`: each says so in words of its own."""
    try:
        yield
    except SafetensorError as error:
        raise _unwritable(checkpoint) from error
    except RuntimeError as error:
        if TORCH_CANNOT_WRITE not in str(error):
            raise
        raise _unwritable(checkpoint) from error


def _unwritable(checkpoint: Path) -> WriteError:
    free_mib = shutil.disk_usage(checkpoint.parent).free / 2**20
    return WriteError(
        f"{checkpoint}: the checkpoint cannot be written ({free_mib:,.0f} MiB of the disk are free)",
        hint="make room; the earlier checkpoints are as they were",
    )


def delete_old_checkpoints(folder: Path, *, keep: int, best: Best | None) -> None:
    """Delete the oldest complete checkpoints until `keep` are left; the last and the best one are never deleted."""
    ordered = sorted(complete_checkpoints(folder), key=step_of)
    old = [checkpoint for checkpoint in ordered[:-1] if best is None or checkpoint.name != best.checkpoint]
    for checkpoint in old[: max(0, len(ordered) - keep)]:
        _delete(checkpoint)


def _delete(checkpoint: Path) -> None:
    shutil.rmtree(_rename(checkpoint, DELETED))  # so that one deleted by half does not count


def _rename(path: Path, prefix: str) -> Path:
    """Put `prefix` before the name of a file or folder, in the place of an earlier one of that name."""
    renamed = path.with_name(prefix + path.name)
    if renamed.is_dir():
        shutil.rmtree(renamed)
    return path.replace(renamed)


def tidy_checkpoints(folder: Path) -> None:
    """Set aside what is damaged, and delete what a killed process left by half: what then is there can be trusted.

    Where the best checkpoint is damaged, or gone, those after it are set aside and best.json is deleted: training goes
    back to the last one before, or begins anew where there is none, and comes to the best one again.
    """
    for left in (folder / STAGING_FOLDER, *folder.glob(f"{DELETED}*")):
        shutil.rmtree(left, ignore_errors=True)
    for checkpoint in folder.glob("checkpoint-*"):
        if damage := find_damage(checkpoint):
            aside = _rename(checkpoint, DAMAGED)
            say(f"warning: {checkpoint} is damaged ({damage}); it is not used, and kept as {aside.name}")
    best = _read_best_or_set_aside(folder)
    if best is None or (folder / best.checkpoint).exists():
        return
    ordered = sorted(complete_checkpoints(folder), key=step_of)
    later = [_rename(checkpoint, UNUSED).name for checkpoint in ordered if step_of(checkpoint) > best.step]
    earlier = len(ordered) - len(later)
    going_back = "goes back to the one before it" if earlier else "begins anew, for no earlier one is left"
    kept = f"; later ones are kept as {', '.join(later)}, which nothing uses" if later else ""
    say(f"warning: {folder / best.checkpoint}, the best one, is lost: training {going_back}{kept}")
    (folder / BEST_FILE).unlink()


def _read_best_or_set_aside(folder: Path) -> Best | None:
    try:
        return read_best(folder)
    except ModelError as error:
        aside = _rename(folder / BEST_FILE, DAMAGED)
        say(f"warning: {error.message}; it is kept as {aside.name}, and the best checkpoint chosen again")
        return None


def require_undamaged(checkpoint: Path) -> None:
    """Raise `ModelError` when a checkpoint is there, and what was learned is damaged; optimizers are not looked at."""
    if checkpoint.is_dir() and (damage := find_damage(checkpoint, below=(ADAPTERS_FOLDER, PARTS_FOLDER))):
        raise ModelError(
            f"{checkpoint}: the best checkpoint is damaged ({damage})",
            hint="restore it from a copy, or let `finesight run --resume` train again from the one before it",
        )


def read_best(folder: Path) -> Best | None:
    """Return what best.json says, or None before the first validation. Raises `ModelError` when it is damaged."""
    file = folder / BEST_FILE
    if not file.exists():
        return None
    try:
        return Best(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{file} is damaged, and does not say which checkpoint is the best one",
            hint="`finesight run --resume` sets it aside, and chooses again by the validations in metrics.jsonl",
        ) from error


def write_best(folder: Path, best: Best) -> None:
    """Write best.json whole."""
    write_text(folder / BEST_FILE, json.dumps(asdict(best), indent=1) + "\n")
