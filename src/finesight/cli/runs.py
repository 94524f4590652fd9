"""Verbs that work with a model: run, check, params, evaluate, ask.

What a person typed is looked at first; torch, which takes seconds, is imported only when that was in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finesight.cli.captioners import evaluate_captioners, names_a_recipe, refuse_beside_captioners, require_alone
from finesight.cli.opening import choose_tasks, open_recipe, speak
from finesight.cli.options import (
    DataRootOption,
    FittingTokensOption,
    JsonOption,
    KeepImagesOption,
    MaxTokensOption,
    OutputOption,
    RecipeArgument,
    ReuseOption,
    RunArgument,
    RunTokensOption,
    SetOption,
)
from finesight.cli.output import print_columns, print_json, print_rich
from finesight.cli.targets import find_target, load_target, model_of, open_earlier, open_recipe_for

if TYPE_CHECKING:
    from finesight.rundir import RunDir

STARTER = "starter"
REHEARSED = "a miniature of the model, stand-ins for the data, a few steps"
_MARKS = {"pass": "ok", "warning": "WARNING", "failure": "FAILED"}


def run(
    recipe: RecipeArgument = STARTER,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    output: OutputOption = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with an interrupted run, by its own recipe; with --data-root, on data moved there.",
        ),
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse", help="Go through the whole run with a miniature of the model and stand-ins for the data."
        ),
    ] = False,
    reuse: ReuseOption = None,
    max_tokens_per_device: RunTokensOption = None,
    keep_images: KeepImagesOption = "none",
) -> None:
    """Measure, tune, measure again; say what changed.

    The last line printed is the run folder's path; its page is report.html. Without RECIPE: a small example that needs
    no data.
    """
    from finesight.ending import noting_its_end
    from finesight.errors import Interrupted
    from finesight.processes import joined, once
    from finesight.runtime import StopRequest, is_first_process, say

    def open_folder() -> RunDir:
        if resume is None:
            return new_run(recipe, set_, data_root, output, rehearse=rehearse)
        _refuse_beside_resume(set_ or output or rehearse or recipe != STARTER)
        return begun_run(resume, data_root)

    started = time.monotonic()
    # From here on a cluster's signal ends in its own exit code, while torch is imported too.
    with StopRequest() as stop, joined() as others:
        earlier = open_earlier(reuse)
        folder = once(open_folder)
        with (
            folder.alone(),
            noting_its_end(folder),
            _telling_how_to_go_on(folder),
            others.ending_together(but=(Interrupted, KeyboardInterrupt)),
        ):
            if rehearse or folder.is_rehearsal:
                say(f"This is a rehearsal: {REHEARSED}. Its figures mean nothing.")
            from finesight.run import fine_tune

            with _rehearsed(folder, rehearse) as begun:
                fine_tune(begun, max_tokens=max_tokens_per_device, stop=stop, keep=keep_images, earlier=earlier)
    if not is_first_process():
        return
    from finesight.report.terminal import verdict_lines

    for line in verdict_lines(folder.load("verdict")):
        print(line)
    if folder.is_rehearsal:
        seconds = time.monotonic() - started
        print(f"This was a rehearsal of {seconds:.0f} seconds: every step was gone through, the figures mean nothing.")
    print(folder.path / "report.html")
    print(folder.path)


def _refuse_beside_resume(given: object) -> None:
    from finesight.errors import UserError

    if given:
        raise UserError(
            "--resume goes on with a run as it was begun; RECIPE, --set, --output or --rehearse would do nothing",
            hint="give --resume without them, or start another run without it",
        )


def begun_run(path: Path, data_root: Path | None = None) -> RunDir:
    """Return the run in a folder, to go on with; `data_root` is where its data are now. Raises `UserError`."""
    from finesight.errors import UserError
    from finesight.resuming import require_comparable
    from finesight.rundir import RunDir

    folder = RunDir.existing(path)
    if folder.is_evaluation:
        raise UserError(f"{path}: an evaluation, not a run", hint=folder.how_compared)
    require_comparable(folder)
    # Data that were moved are known by what is in them: others are refused when they are read.
    return folder if data_root is None else RunDir(path, folder.recipe, data_root)


def new_run(
    recipe: str, set_: Sequence[str] | None, data_root: Path | None, output: Path | None, *, rehearse: bool
) -> RunDir:
    """Return the folder of a run that is to begin, of which nothing is written yet. Raises `UserError`."""
    from finesight.rundir import REHEARSAL, RunDir

    opened, root = open_recipe(recipe, set_, data_root)
    if rehearse:
        opened = opened.model_copy(update={"name": f"{opened.name}-{REHEARSAL}"})
    return RunDir.new(opened, output, root)


def _rehearsed(run: RunDir, rehearse: bool) -> AbstractContextManager[RunDir]:
    """Return what gives the run itself, or the rehearsal of it."""
    if not rehearse:
        return nullcontext(run)
    from finesight.rehearse import rehearsing

    return rehearsing(run)


@contextmanager
def _telling_how_to_go_on(run: RunDir) -> Iterator[None]:
    """Give the command that resumes the run with what has stopped it, once there is something to resume."""
    from finesight.cli.errors import cannot_be_written
    from finesight.errors import Interrupted, Preempted, UserError, WriteError, command_line
    from finesight.processes import launch_options
    from finesight.rundir import how_to_go_on

    options = launch_options()
    command = command_line("launch", "--resume", run.path, *options) if options else how_to_go_on(run.path)
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as interruption:
        kind = Preempted if isinstance(interruption, Preempted) else Interrupted
        if not run.has_begun:
            raise kind("stopped before anything was written") from interruption
        message = str(interruption) or "stopped at once"
        raise kind(message, hint=f"go on with: {command}") from interruption
    except (WriteError, OSError) as error:
        if not run.has_begun or not (message := cannot_be_written(error)):
            raise
        told = f"{message}; the run in {run.path} has stopped"
        raise WriteError(told, hint=f"make room, then go on with: {command}") from error
    except UserError as error:
        if run.has_begun:
            error.hint += f"{'; ' if error.hint else ''}then go on with: {command}"
        raise


def check(
    recipe: RecipeArgument,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Try each stage too: formats, packing, gradients, ten steps, a checkpoint. All is taken back.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --deep: the --output that the run will get; a checkpoint is tried beside it. Default: in runs.",
        ),
    ] = None,
    max_tokens_per_device: MaxTokensOption = 8192,
    json: JsonOption = False,
) -> None:
    """Check recipe and data before anything is trained.

    Leaks, labels, image tokens, dtypes, parameters; with --deep what every run begins with. Exit code 1 when a check
    fails.
    """
    opened, root = open_recipe(recipe, set_, data_root)
    from dataclasses import asdict

    from finesight.checking import check_recipe
    from finesight.rundir import RUNS
    from finesight.runtime import StopRequest

    checks = []
    with StopRequest():  # a signal, too, takes back what is tried
        for done in check_recipe(opened, root, deep=deep, max_tokens=max_tokens_per_device, folder=output or RUNS):
            checks.append(done)
            # At once: what the data are like is worth knowing when the model then cannot be loaded.
            if not json:
                print(f"{_MARKS[done.status]:8}{done.name}: {done.message}", flush=True)
                if done.hint:
                    print(f"{'':8}hint: {done.hint}", flush=True)
    if json:
        print_json([asdict(done) for done in checks])
    if any(done.status == "failure" for done in checks):
        raise typer.Exit(1)


def params(
    recipe: RecipeArgument, set_: SetOption = None, data_root: DataRootOption = None, json: JsonOption = False
) -> None:
    """Count the parameters of each part.

    All, trainable, adapters, and those that no gradient can reach. Needs no weights.
    """
    opened, root = open_recipe(recipe, set_, data_root)
    from finesight.checking import count_parameters
    from finesight.report.terminal import parameter_table

    counted = count_parameters(opened, root)
    if json:
        print_json(counted)
    else:
        print_rich(parameter_table(counted))


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="A run folder, a model folder, a hub name, or a model that comes with finesight; or a recipe of "
            "captioners (.yaml), alone.",
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="Whose tasks to measure on. Default: the run's, or the shipped model's."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="NAME", help="Measure this task only. May be repeated.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="LANGUAGE", help="Ask about generated scenes in this language: en or ru.")
    ] = None,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    output: OutputOption = None,
    reuse: ReuseOption = None,
    max_tokens_per_device: FittingTokensOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a model on a recipe's tasks.

    Beside it stand the majority answer and the model given the question alone. A recipe of captioners measures them
    side by side, and with the same --output goes on where it stopped: docs/captioners.md.
    """
    from finesight.rundir import RunDir
    from finesight.runtime import StopRequest, require_one_process

    require_one_process()
    if names_a_recipe(model):
        require_alone(model, recipe)
        refuse_beside_captioners(task or language or reuse)
        evaluate_captioners(Path(model), set_, data_root, output, max_tokens_per_device, json=json)
        return
    target, earlier = find_target(model), open_earlier(reuse)
    opened, root = open_recipe_for(target, recipe, set_, data_root)
    opened = speak(choose_tasks(opened, task or ()), language)
    # What the folder keeps as its recipe is the model that was measured, whatever the tasks were taken from.
    measured = {"name": f"{opened.name}-evaluation", "model": model_of(target, opened)}
    folder = RunDir.new(opened.model_copy(update=measured), output, root)
    from finesight.run import measure_only

    with folder.alone(), StopRequest() as stop, _telling_how_to_measure_on(folder):
        loaded = load_target(target, folder.recipe.model, root)
        measure_only(
            loaded, folder, measured=target.name_or_path, max_tokens=max_tokens_per_device, stop=stop, earlier=earlier
        )
    scores = folder.load("scores")
    if json:
        print_json(scores)
        return
    from finesight.report.terminal import score_table

    print_rich(*map(score_table, scores["tasks"]))
    print(folder.path)


@contextmanager
def _telling_how_to_measure_on(run: RunDir) -> Iterator[None]:
    """Give what takes over the answers of an evaluation with what has stopped it, once there are any."""
    from finesight.errors import Interrupted, Preempted
    from finesight.rundir import how_to_measure_on

    try:
        yield
    except (Interrupted, KeyboardInterrupt) as interruption:
        kind = Preempted if isinstance(interruption, Preempted) else Interrupted
        hint = how_to_measure_on(run.path) if run.is_evaluation else ""
        raise kind(str(interruption) or "stopped at once", hint=hint) from interruption


def ask(
    run: RunArgument,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="An image file; for a text model, an .svg or .txt file.")
    ],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask about it.")],
    json: JsonOption = False,
) -> None:
    """Ask about an image (or a text), before and after tuning."""
    from finesight.rundir import RunDir

    folder = RunDir.existing(run)
    from finesight.run import ask_both

    answers = ask_both(folder, image, question)
    if json:
        print_json({"image": str(image), "question": question, **answers})
    else:
        print_columns([(name, answer or "(nothing)") for name, answer in answers.items()], indent=0)
