"""The one place outside a run folder that finesight writes to: what is worth keeping between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*names: str) -> Path:
    """Return a folder of the cache: `$FINESIGHT_CACHE`, or `~/.cache/finesight`. It need not exist yet."""
    root = os.environ.get("FINESIGHT_CACHE")
    return Path(root).expanduser().joinpath(*names) if root else Path.home().joinpath(".cache", "finesight", *names)
