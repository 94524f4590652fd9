"""Rehearse every built-in recipe, one after the other, and say how long each takes: `make rehearse-all`.

    python tools/rehearse_all.py              # all of them
    python tools/rehearse_all.py starter      # those that are named

Ends with 1 when a rehearsal fails, or takes longer than `MOST_SECONDS` on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from finesight.recipe.builtin import builtin_recipes

MOST_SECONDS = 30.0


def rehearse(name: str, folder: Path) -> str:
    """Rehearse a recipe in a process of its own, and return what is wrong with that, or an empty text."""
    command = [sys.executable, "-m", "finesight", "run", name, "--rehearse", "--output", str(folder / name)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    print(f"{name:32}{seconds:6.1f} s", flush=True)
    if done.returncode:
        return f"{name} ended with {done.returncode}:\n{done.stderr}"
    if seconds > MOST_SECONDS:
        return f"{name} took {seconds:.0f} seconds, and may take {MOST_SECONDS:.0f}"
    return ""


def main() -> None:
    """Rehearse what is named, or all."""
    known = [name for name, _ in builtin_recipes()]
    parser = argparse.ArgumentParser(description="Rehearse built-in recipes.")
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(known)}; default: all")
    chosen = parser.parse_args().recipes or known
    with tempfile.TemporaryDirectory() as folder:
        faults = [fault for name in chosen if (fault := rehearse(name, Path(folder)))]
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
