"""The file that SLURM runs: the options that it reads, then a script that a person can read."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from finesight.errors import Preempted, UserError
from finesight.launch.cluster import Cluster, further_option, require_one_line, require_writable
from finesight.launch.work import Work
from finesight.rundir import RECIPE_FILE

MOST_FRUITLESS = 3
"""Starts in a row that come no further, after which a job is not put back into the queue."""
WAIT_SECONDS = 600
"""How long the others may take when one process has ended: the first still judges the run and writes its page."""
_SPARE_SECONDS = 30
"""Before the time limit: by then the job has to be back in the queue."""


@dataclass(frozen=True)
class JobFiles:
    """Where a job's files lie: in a folder beside the run's, which must not be there before the run has begun."""

    run: Path

    @property
    def folder(self) -> Path:
        """The folder of them all."""
        return self.run.with_name(f"{self.run.name}.slurm")

    @property
    def job(self) -> Path:
        """What `sbatch` is given."""
        return self.folder / "job.sbatch"

    @property
    def recipe(self) -> Path:
        """The recipe as it was when the job was submitted: what is changed meanwhile changes nothing."""
        return self.folder / RECIPE_FILE

    @property
    def log(self) -> Path:
        """What all starts of the job have said."""
        return self.folder / "log.txt"

    @property
    def fruitless(self) -> Path:
        """A line for each start in a row that came no further."""
        return self.folder / "fruitless_starts.txt"


def job_text(name: str, work: Work, cluster: Cluster, files: JobFiles) -> str:
    """Return the content of the file. Raises `UserError` for what SLURM cannot be told."""
    require_writable(cluster)
    for path in (files.log, sys.executable):
        require_one_line(str(path))
    if "\\" in str(files.log):
        raise UserError(f"{files.log}: SLURM takes a backslash in a log's name for something else")
    return _template().render(
        name=name,
        options=list(_options(name, work, cluster, files)),
        work=work,
        cluster=cluster,
        files=files,
        python=str(Path(cluster.venv) / "bin" / "python") if cluster.venv else sys.executable,
        recipe_file=RECIPE_FILE,
        cpus=f" --cpus-per-task={cluster.cpus_per_task}" if cluster.cpus_per_task else "",
        most_fruitless=MOST_FRUITLESS,
        wait_seconds=WAIT_SECONDS,
        patience_seconds=cluster.warning_seconds - _SPARE_SECONDS,
        stopped_code=Preempted.exit_code,
    )


def _options(name: str, work: Work, cluster: Cluster, files: JobFiles) -> Iterator[str]:
    """Yield sbatch's options, quoted as it reads them in a file (as a shell would)."""
    gpus = f"gpu:{cluster.gpu_type}:{cluster.gpus}" if cluster.gpu_type else f"gpu:{cluster.gpus}"
    asked = {
        "job-name": name,
        "account": cluster.account,
        "partition": cluster.partition,
        "time": cluster.time,
        "nodes": work.nodes,
        "ntasks-per-node": work.processes,
        "gres": gpus if cluster.gpus else None,
        "cpus-per-task": cluster.cpus_per_task,
        "mem": cluster.mem,
        # In a log's name %j and the like stand for something; its folder is meant as it is.
        "output": str(files.log).replace("%", "%%"),
        "open-mode": "append",
        "signal": f"B:USR1@{cluster.warning_seconds}",
    }
    yield from (f"--{option}={shlex.quote(str(value))}" for option, value in asked.items() if value is not None)
    yield "--requeue"
    yield from map(further_option, cluster.further)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("finesight.launch"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["quote"] = shlex.quote
    environment.filters["words"] = shlex.join
    return environment.get_template("job.sbatch.j2")
