"""Job files of small runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finesight.launch.cluster import Cluster
from finesight.launch.sbatch import JobFiles, job_text
from finesight.launch.work import Work


def write_job(run: Path, *, processes: int = 1, nodes: int = 1, hides_gpus: bool = False, **options: Any) -> JobFiles:
    """Write the job file of a run; `options` are the cluster's."""
    files = JobFiles(run)
    beginning, resuming = ("run", "recipe.yaml", "--output", str(run)), ("run", "--resume", str(run))
    work = Work(beginning, resuming, processes, "ddp", nodes, hides_gpus)
    files.folder.mkdir(exist_ok=True)
    files.job.write_text(job_text("small", work, Cluster(**options), files), encoding="utf-8")
    return files
