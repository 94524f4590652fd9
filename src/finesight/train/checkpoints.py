"""Which checkpoint of a stage is complete, and which one validation chose."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from finesight.rundir import write_text

BEST_FILE = "best.json"
LAST_FILE_WRITTEN = "trainer_state.json"


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
    complete = [file.parent for file in folder.glob(f"checkpoint-*/{LAST_FILE_WRITTEN}")]
    return max(complete, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def read_best(folder: Path) -> Best | None:
    """Return what best.json says, or None before the first validation."""
    file = folder / BEST_FILE
    return Best(**json.loads(file.read_text("utf-8"))) if file.exists() else None


def write_best(folder: Path, best: Best) -> None:
    """Write best.json whole."""
    write_text(folder / BEST_FILE, json.dumps(asdict(best), indent=1) + "\n")
