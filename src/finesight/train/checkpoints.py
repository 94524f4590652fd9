"""Which checkpoint of a stage is complete, and which one validation chose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from finesight.errors import WriteError
from finesight.rundir import write_text

BEST_FILE = "best.json"
LAST_FILE_WRITTEN = "trainer_state.json"
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
    return [file.parent for file in folder.glob(f"checkpoint-*/{LAST_FILE_WRITTEN}")]


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


@contextmanager
def written_whole(folder: Path, name: str) -> Iterator[None]:
    """Move the checkpoint that the block writes below `partial/` to its place, whole or not at all.

    Raises `WriteError` when it cannot be written; the earlier checkpoints stay as they are.
    """
    target = folder / name
    try:
        yield
        shutil.rmtree(target, ignore_errors=True)  # what an earlier, incomplete one of that name left
        (folder / STAGING_FOLDER / name).replace(target)
    except SafetensorError as error:
        raise _unwritable(target) from error
    except RuntimeError as error:
        if TORCH_CANNOT_WRITE not in str(error):
            raise
        raise _unwritable(target) from error
    finally:
        shutil.rmtree(folder / STAGING_FOLDER, ignore_errors=True)


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
        (checkpoint / LAST_FILE_WRITTEN).unlink()  # first, so that one deleted by half does not count
        shutil.rmtree(checkpoint)


def read_best(folder: Path) -> Best | None:
    """Return what best.json says, or None before the first validation."""
    file = folder / BEST_FILE
    return Best(**json.loads(file.read_text("utf-8"))) if file.exists() else None


def write_best(folder: Path, best: Best) -> None:
    """Write best.json whole."""
    write_text(folder / BEST_FILE, json.dumps(asdict(best), indent=1) + "\n")
