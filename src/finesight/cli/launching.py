"""The verb that starts a run on several GPUs, on this machine or through SLURM: launch."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finesight.cli.opening import open_recipe
from finesight.cli.options import (
    DataRootOption,
    JsonOption,
    KeepImagesOption,
    OutputOption,
    RunTokensOption,
    SetOption,
)
from finesight.cli.output import print_columns, print_json
from finesight.runtime import Engine, KeepImages

if TYPE_CHECKING:
    from finesight.launch.cluster import Cluster
    from finesight.launch.sbatch import JobFiles
    from finesight.launch.work import Work
    from finesight.recipe.recipe import Recipe

Text = str | None
Texts = list[str] | None
WARNING_SECONDS = 120


@dataclass(frozen=True)
class _Run:
    """What was typed of the run itself: the same here and on a cluster."""

    recipe: str | None
    set_: Texts
    data_root: Path | None
    output: Path | None
    resume: Path | None
    rehearse: bool
    max_tokens_per_device: int | None
    keep_images: KeepImages
    processes: int
    nodes: int
    engine: Engine
    hides_gpus: bool

    @property
    def resumed(self) -> tuple[str, ...]:
        """What `finesight run` is told of a run that has begun, besides its folder."""
        moved = ("--data-root", str(self.data_root.absolute())) if self.resume and self.data_root else ()
        return (*moved, *self.options)

    @property
    def options(self) -> tuple[str, ...]:
        """What `finesight run` is told of the machine, whether the run begins or goes on."""
        tokens = self.max_tokens_per_device
        given = () if tokens is None else ("--max-tokens-per-device", str(tokens))
        return (*given, "--keep-images", self.keep_images)


def launch(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A recipe file, or a built-in recipe's name.")
    ] = None,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    output: OutputOption = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run instead of RECIPE.")] = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="As `run --rehearse`.")] = False,
    max_tokens_per_device: RunTokensOption = None,
    keep_images: KeepImagesOption = "none",
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs on each machine, a process for each. Default: all here; with --slurm, 1."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes on each machine, computing without GPUs, instead of --gpus.")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="How the processes train one model: each has the whole of it (ddp), or it is spread over them by "
            "PyTorch (fsdp) or DeepSpeed (the rest)."
        ),
    ] = "ddp",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started or submitted, and nothing more.")
    ] = False,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Write a job file and submit it. The options below belong to it.")
    ] = False,
    partition: Annotated[Text, typer.Option(metavar="NAME", help="Where the job queues.")] = None,
    time: Annotated[
        Text, typer.Option(metavar="LIMIT", help="As 24:00:00. A longer run goes on in the job's next start.")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    account: Annotated[Text, typer.Option(metavar="NAME", help="Whose budget pays.")] = None,
    mem: Annotated[Text, typer.Option(metavar="SIZE", help="Main memory of each machine, as 48G.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(min=1, help="Processor cores for each process.")] = None,
    gpu_type: Annotated[Text, typer.Option(metavar="NAME", help="The GPUs' name on the cluster, as l40s.")] = None,
    module: Annotated[Texts, typer.Option(metavar="NAME", help="A module to load. May be repeated.")] = None,
    venv: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The environment to use. Default: the one of this command.")
    ] = None,
    setup: Annotated[
        Texts, typer.Option(metavar="LINE", help="A line of shell before the run. May be repeated.")
    ] = None,
    sbatch: Annotated[
        Texts, typer.Option(metavar="OPTION", help="Another option, as --sbatch=--qos=long. May be repeated.")
    ] = None,
    warning_seconds: Annotated[
        int, typer.Option(help="How long before the time limit the run is asked to save and stop.")
    ] = WARNING_SECONDS,
    no_check: Annotated[bool, typer.Option("--no-check", help="Submit without a look at recipe and data.")] = False,
    json: JsonOption = False,
) -> None:
    """Run on several GPUs, here or on a cluster.

    Here: a process for each GPU. With --slurm: a job that saves before its time limit, queues again and goes on, until
    the run is done; the last line printed is the run folder's path.
    """
    _require_one_run(recipe, resume, set_ or output or rehearse)
    if gpus and processes:
        raise _user_error("--gpus and --processes exclude each other: --processes computes without GPUs")
    if processes and gpu_type:
        raise _user_error("--gpu-type names GPUs, and --processes computes without them")
    for_slurm = {
        "--partition": partition, "--time": time, "--nodes": nodes > 1, "--account": account, "--mem": mem,
        "--cpus-per-task": cpus_per_task, "--gpu-type": gpu_type, "--module": module, "--venv": venv, "--setup": setup,
        "--sbatch": sbatch, "--warning-seconds": warning_seconds != WARNING_SECONDS, "--no-check": no_check,
        "--json": json,
    }  # fmt: skip
    if not slurm:
        _refuse_without_slurm(for_slurm)
    count = processes or (gpus or 1 if slurm else _usable_gpus(gpus, dry_run=dry_run))
    run = _Run(
        recipe, set_, data_root, output, resume, rehearse, max_tokens_per_device, keep_images, count, nodes, engine,
        processes is not None,
    )  # fmt: skip
    if not slurm:
        _launch_here(run, dry_run=dry_run)
        return
    from finesight.launch.cluster import Cluster

    cluster = Cluster(
        partition=partition,
        time=time,
        gpus=0 if processes else count,
        gpu_type=gpu_type,
        account=account,
        mem=mem,
        cpus_per_task=cpus_per_task,
        modules=tuple(module or ()),
        venv=_environment(venv),
        setup=tuple(setup or ()),
        further=tuple(sbatch or ()),
        warning_seconds=warning_seconds,
    )
    _launch_there(run, cluster, dry_run=dry_run, check=not no_check, json=json)


def _launch_here(run: _Run, *, dry_run: bool) -> None:
    """Run on this machine, and end as the run ends."""
    from finesight.launch.local import command_lines, run_here
    from finesight.launch.work import Work

    _require_startable(run)
    typed: list[str] = []
    for name, value in (("--data-root", run.data_root), ("--output", run.output)):
        typed += [name, str(value)] if value else []
    for change in run.set_ or ():
        typed += ["--set", change]
    if run.rehearse:
        typed.append("--rehearse")
    beginning = ("run", run.recipe, *typed, *run.options) if run.recipe else ()
    resuming = ("run", "--resume", str(run.resume), *run.resumed)
    work = Work(beginning, resuming, run.processes, run.engine, hides_gpus=run.hides_gpus)
    if dry_run:
        for line in command_lines(work):
            print(line)
        return
    if code := run_here(work):
        raise typer.Exit(code)


def _require_startable(run: _Run) -> None:
    """Raise `UserError` for what would end every process as soon as it had imported torch."""
    from finesight.cli.runs import begun_run, new_run
    from finesight.run_lock import require_unheld
    from finesight.runtime import ENGINE_VARIABLE
    from finesight.train.engines import require_fitting_engine

    if run.resume:
        folder = begun_run(run.resume, run.data_root)
    else:
        folder = new_run(str(run.recipe), run.set_, run.data_root, run.output, rehearse=run.rehearse)
    require_unheld(folder.path)
    os.environ[ENGINE_VARIABLE] = run.engine  # what was typed counts, whatever was there
    require_fitting_engine(folder.recipe, run.keep_images)


def _launch_there(run: _Run, cluster: Cluster, *, dry_run: bool, check: bool, json: bool) -> None:
    """Write a job file, check what it will run, and submit it."""
    from finesight.launch.sbatch import JobFiles, job_text
    from finesight.launch.submit import require_slurm, submit, write_job
    from finesight.rundir import RunDir
    from finesight.runtime import say

    if run.resume:
        folder, recipe = RunDir.existing(run.resume), None
    else:
        recipe, root = open_recipe(str(run.recipe), run.set_, run.data_root)
        folder = RunDir.new(_named_for(run, recipe), run.output, root)
    files = JobFiles(folder.path.resolve())
    text = job_text(folder.asked.name, _work_there(run, files, folder.data_root), cluster, files)
    if cluster.time and cluster.time.isdigit():
        say(f"--time {cluster.time}: SLURM reads {cluster.time} minutes; as many hours are {cluster.time}:00:00")
    if dry_run:
        if json:
            print_json({"file": str(files.job), "text": text})
        else:
            print(text, end="")
        return
    require_slurm()
    if check and recipe is not None and not run.rehearse:
        _check(recipe, folder.data_root, run)
    write_job(text, recipe, files)
    job = submit(files)
    if json:
        print_json({"job": job, "run": str(files.run), "file": str(files.job), "log": str(files.log)})
        return
    follow = shlex.join(["finesight", "watch", str(files.run)])
    rows = [("job", job), ("its file", files.job), ("its log", files.log), ("follow it", follow)]
    print_columns([*rows, ("stop it", f"scancel {job}")], indent=0)
    print(files.run)


def _named_for(run: _Run, recipe: Recipe) -> Recipe:
    """Return the recipe under the name that its run folder will have."""
    from finesight.rundir import REHEARSAL

    return recipe.model_copy(update={"name": f"{recipe.name}-{REHEARSAL}"}) if run.rehearse else recipe


def _work_there(run: _Run, files: JobFiles, data_root: Path) -> Work:
    """Return what a job's processes do; every path is whole, whatever folder the job starts in."""
    from finesight.launch.work import Work

    told = ("--data-root", str(data_root), "--output", str(files.run), *(("--rehearse",) if run.rehearse else ()))
    beginning = () if run.resume else ("run", str(files.recipe), *told, *run.options)
    resuming = ("run", "--resume", str(files.run), *run.resumed)
    return Work(beginning, resuming, run.processes, run.engine, run.nodes, run.hides_gpus)


def _check(recipe: Recipe, data_root: Path, run: _Run) -> None:
    """Look at what needs neither weights nor GPU, and say what is not in order.

    Raises `CheckFailed` where the run would stop for it.
    """
    from finesight.checking import check_without_weights
    from finesight.errors import CheckFailed
    from finesight.runtime import ENGINE_VARIABLE, say

    os.environ[ENGINE_VARIABLE] = run.engine  # it is checked for what it will run under
    met: Counter[str] = Counter()
    for found in check_without_weights(recipe, data_root, run.keep_images):
        met[found.status] += 1
        if found.status != "pass":
            say(f"{found.status}: {found.name}: {found.message}" + (f" (hint: {found.hint})" if found.hint else ""))
    say(f"checked: passed {met['pass']}, warnings {met['warning']}, failed {met['failure']}")
    if met["failure"]:
        raise CheckFailed("nothing was submitted", hint="mend it, or submit it as it is with --no-check")


def _require_one_run(recipe: str | None, resume: Path | None, for_a_new_one: object) -> None:
    if recipe is None and resume is None:
        raise _user_error("what is to be run?", "finesight launch RECIPE, or --resume RUN")
    if resume and (recipe or for_a_new_one):
        raise _user_error(
            "--resume goes on with a run as it was begun; RECIPE, --set, --output or --rehearse would do nothing",
            "give --resume without them",
        )


def _refuse_without_slurm(given: Mapping[str, object]) -> None:
    if names := [name for name, value in given.items() if value]:
        raise _user_error(f"{', '.join(names)}: for a cluster alone", "give --slurm too")


def _usable_gpus(wanted: int | None, *, dry_run: bool) -> int:
    """Return how many GPUs of this machine to use. Raises `UserError` where it has not as many."""
    if wanted and dry_run:
        return wanted
    from finesight.cli.environment import gpu_count

    there = gpu_count()
    if there == 0 or (wanted or 1) > there:
        raise _user_error(
            f"torch sees {there or 'no'} GPU{'s' * (there != 1)} on this machine" + f", not {wanted}" * bool(wanted),
            "--processes N computes without; `finesight env` says what there is",
        )
    return wanted or there


def _environment(venv: Path | None) -> str | None:
    """Return a virtual environment's folder, whole. Raises `UserError` when it is none."""
    if venv is None:
        return None
    if not (venv / "bin" / "activate").is_file():
        raise _user_error(f"--venv {venv}: no virtual environment (it has no bin/activate)")
    return str(venv.absolute())


def _user_error(message: str, hint: str = "") -> Exception:
    from finesight.errors import UserError

    return UserError(message, hint=hint)
