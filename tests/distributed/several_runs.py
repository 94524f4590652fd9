"""One of several processes that carry out runs of the same recipe, one after another, and begun ones to their end.

Starting a process takes longer than such a run: `several_runs.py RECIPE TOKENS ENGINE=RUN …`.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from accelerate.state import AcceleratorState

from finesight.processes import joined, once
from finesight.recipe.reading import read_recipe
from finesight.run import fine_tune
from finesight.rundir import RunDir
from finesight.runtime import ENGINE_VARIABLE, StopRequest


def main(recipe_file: Path, max_tokens: int, asked: list[str]) -> None:
    warnings.simplefilter("error", UserWarning)
    recipe = read_recipe(recipe_file).recipe
    with joined():
        for engine, _, folder in (each.partition("=") for each in asked):
            begin_anew(engine)
            run = once(lambda folder=folder: RunDir.new_or_begun(recipe, Path(folder), recipe_file.parent))
            with run.alone():
                fine_tune(run, max_tokens=max_tokens, stop=StopRequest())
    sys.stderr.flush()
    os._exit(0)  # as joined() lets the other processes end: torch's threads may outlive the interpreter


def begin_anew(engine: str) -> None:
    """Choose an engine, and forget what accelerate keeps for a process's life: which one there was before."""
    os.environ[ENGINE_VARIABLE] = engine
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
