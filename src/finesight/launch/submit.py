"""A job is written and handed to SLURM."""

from __future__ import annotations

import subprocess
from shutil import which

from finesight.errors import UserError
from finesight.launch.sbatch import JobFiles
from finesight.recipe.reading import dump_recipe
from finesight.recipe.recipe import Recipe
from finesight.rundir import write_text
from finesight.runtime import say


def write_job(text: str, recipe: Recipe | None, files: JobFiles) -> None:
    """Write the job's file, and beside it the recipe of a run that is to begin."""
    if recipe is not None:
        write_text(files.recipe, dump_recipe(recipe))
    write_text(files.job, text)


def require_slurm() -> None:
    """Raise `UserError` where there is no SLURM to submit to."""
    if which("sbatch") is None:
        raise UserError(
            "this machine has no sbatch: jobs are submitted from a cluster's login node",
            hint="see what would be submitted with --dry-run",
        )


def submit(files: JobFiles) -> str:
    """Submit the job's file, and return the job's number. Raises `UserError` with what SLURM says when it refuses."""
    done = subprocess.run(["sbatch", "--parsable", str(files.job)], capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip() or f"it ended with {done.returncode}"
        raise UserError(f"SLURM did not take the job: {told}", hint=f"what it was given is {files.job}")
    if told := done.stderr.strip():
        say(told)  # what a cluster has to say of a job that it takes: its budget, another partition
    return done.stdout.strip().split(";")[0]
