"""SIGKILL at any moment, in the writing of a checkpoint too: the resumed run ends as one that nobody killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from separate_runs import FEW_TOKENS, LONGER, StartRun, kill, wait_until
from small_runs import WriteRecipe, losses, read_json_lines, scores

LONGEST_SECONDS = 4.0
"""After which a run is killed at the latest: about what the whole of it takes."""


def is_writing(run: Path) -> bool:
    return (run / "checkpoints/tune/partial").is_dir()


def kill_again_and_again(kills: int, seed: int, start_run: StartRun, recipe: Path, folder: Path) -> list[Path]:
    """Start a run, kill it, go on, until it was killed so often; return the runs, all of them at their end.

    Every other time it is killed while it writes a checkpoint. A run that comes to its end is followed by another.
    """
    generator = random.Random(seed)
    runs = [folder / "run-0"]
    killed = 0
    while True:
        run, log = runs[-1], folder / f"{runs[-1].name}.log"
        begun = (run / "recipe.yaml").exists()
        arguments = ("--resume", run) if begun else (recipe, "--output", run)
        process = start_run(log, *arguments, "--max-tokens-per-device", FEW_TOKENS)
        if killed < kills and killed % 2:
            wait_until(lambda run=run: is_writing(run), process)
            time.sleep(generator.uniform(0, 0.02))
            killed += kill(process)
        elif killed < kills:
            process.join(generator.uniform(0, LONGEST_SECONDS))
            killed += kill(process)
        process.join()
        if process.exitcode == 0:
            if killed == kills:
                return runs
            runs.append(folder / f"run-{len(runs)}")
        else:
            assert process.exitcode == -9, log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(3, 1, id="3"), pytest.param(20, 2, id="20", marks=pytest.mark.faults)]
)
def test_killed_at_any_moment_a_run_ends_as_one_that_nobody_killed(
    kills: int, seed: int, start_run: StartRun, write_recipe: WriteRecipe, tmp_path: Path, longer_undisturbed: Path
) -> None:
    for run in kill_again_and_again(kills, seed, start_run, write_recipe(**LONGER), tmp_path):
        told = (tmp_path / f"{run.name}.log").read_text(encoding="utf-8")
        assert "Traceback" not in told
        assert losses(run) == losses(longer_undisturbed), told
        assert scores(run) == scores(longer_undisturbed)
        for predictor in ("before", "after"):
            answered = [record["id"] for record in read_json_lines(run / f"evaluation/{predictor}/held_out.jsonl")]
            assert len(answered) == len(set(answered)) == scores(run)[0]["examples"]
        assert not is_writing(run)
        assert not (run / "run.lock").exists()
