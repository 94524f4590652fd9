"""Captioners and tuned models on the same pictures: what `finesight evaluate captioners.yaml` does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from finesight.data.images import verify_images
from finesight.data.learned_before import find_learned_before
from finesight.data.sets import read_tasks
from finesight.data.views import as_seen, require_pictures
from finesight.environment import describe_run_environment
from finesight.errors import UserError
from finesight.evaluate.command_predictor import CommandPredictor
from finesight.evaluate.contenders import AFTER, Contender, open_contender
from finesight.evaluate.given_answers import match_answers
from finesight.evaluate.image_scores import add_image_scores, open_scorer
from finesight.evaluate.measure import Thumbnails, keep_answers
from finesight.evaluate.predictor import Predictor
from finesight.evaluate.program import Command
from finesight.evaluate.tasks import evaluate_all, guess_all, require_scorable, score_all
from finesight.models.captioners import load_captioner
from finesight.models.load import choose_device
from finesight.models.location import locate
from finesight.opening import load_best, open_untuned, tokenize_tasks, write_thumbnails
from finesight.recipe.captioners import (
    Captioner,
    CaptionersRecipe,
    CommandCaptioner,
    GivenAnswers,
    HuggingFaceCaptioner,
    MeasuredRun,
)
from finesight.recipe.model import TextModel
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, say
from finesight.schema import Sets, TaskExamples

LOGS = "captioners"
"""Where a run folder keeps what programs write on stderr, a file each."""


def measure_captioners(recipe: CaptionersRecipe, run: RunDir, *, max_tokens: int | None, stop: StopRequest) -> RunDir:
    """Measure a recipe's captioners and tuned models on the same pictures, beside the majority caption.

    What an earlier start in this folder has answered is not asked again.
    """
    _require_contenders(recipe, run)
    tasks, description = read_tasks(recipe.evaluate, run.data_root, recipe.seed)
    require_pictures(tasks)
    for model in recipe.models:
        sees_images = not isinstance(_run_of(model, run.data_root).recipe.model, TextModel)
        for task in tasks:
            as_seen(task, sees_images=sees_images)  # raises now what would be raised when captioners have answered
    remarks = _match_given(recipe, run, tasks)
    verify_images(image for task in tasks for example in task.examples for image in example.images)
    scorer = open_scorer(recipe.clip, tasks, run.data_root)
    stop.listen()
    run.begin(describe_run_environment(run.data_root, recipe.seed, str(choose_device())))
    run.save("data", description)
    asked = _Asked(run, tasks, write_thumbnails(tasks, run), max_tokens, stop)
    guess_all((), tasks, run, thumbnails=asked.thumbnails)
    require_scorable(run, tasks, "majority")
    warnings = [*remarks, *_look_for_learned(recipe, run, tasks)]
    for warning in warnings:
        say(f"warning: {warning}")
    for captioner in recipe.captioners:
        asked.describe(captioner)
        _release_memory()
    for model in recipe.models:
        asked.answer(model)
        _release_memory()
    add_image_scores(scorer, tasks, run, stop=stop)
    run.save("scores", {**score_all(run, tasks, shown_first=recipe.names), "warnings": warnings})
    return run


@dataclass(frozen=True)
class _Asked:
    """What everybody is asked, and where the answers go."""

    run: RunDir
    tasks: Sequence[TaskExamples]
    thumbnails: Thumbnails
    max_tokens: int | None
    stop: StopRequest

    def describe(self, captioner: Captioner) -> None:
        """Let a captioner answer what it has not answered yet."""
        unanswered = self._unanswered(captioner.name)
        if not unanswered:
            return
        predictor_for = _open(captioner, self.run)
        for task in unanswered:
            keep_answers(
                predictor_for(task), task, self.run, name=captioner.name, thumbnails=self.thumbnails, stop=self.stop
            )

    def answer(self, model: MeasuredRun) -> None:
        """Let a tuned model answer what it has not answered yet."""
        unanswered = self._unanswered(model.name)
        if not unanswered:
            return
        tuning = _run_of(model, self.run.data_root)
        loaded = open_untuned(tuning)
        if model.tuned:
            load_best(loaded, tuning)
        seen = tuple(as_seen(task, sees_images=loaded.traits.sees_images) for task in unanswered)
        data = tuning.recipe.data.model_copy(update={"over_length": "fail"})  # or it would be asked less than others
        tokenized, _ = tokenize_tasks(
            loaded.formatter, Sets((), (), (), seen), tuning.recipe.model_copy(update={"data": data})
        )
        evaluate_all(
            loaded, tokenized, self.run, model.name,
            thumbnails=self.thumbnails, max_tokens=self.max_tokens, stop=self.stop,
        )  # fmt: skip

    def _unanswered(self, name: str) -> list[TaskExamples]:
        return [task for task in self.tasks if len(self.run.records(name, task.name)) < len(task.examples)]


def _open(captioner: Captioner, run: RunDir) -> Callable[[TaskExamples], Predictor]:
    """Return what gives the predictor for a task."""
    match captioner:
        case CommandCaptioner():
            program = CommandPredictor(captioner.name, _command_of(captioner, run), captioner.timeout_seconds)
            return lambda task: program
        case HuggingFaceCaptioner():
            loaded = load_captioner(captioner, data_root=run.data_root)
            return lambda task: loaded.up_to(captioner.max_new_tokens or task.max_new_tokens)
        case GivenAnswers():
            contender = _contender_of(captioner, run)
            return lambda task: match_answers(contender, task, missing=captioner.missing).predictor


def _release_memory() -> None:
    """Give a model's memory back: the next contender may be another program on the same GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _require_contenders(recipe: CaptionersRecipe, run: RunDir) -> None:
    """Raise `UserError` for a program, a checkpoint folder or a run that is not there, before anybody is asked."""
    for captioner in recipe.captioners:
        match captioner:
            case CommandCaptioner():
                _command_of(captioner, run).require_program(captioner.name)
            case HuggingFaceCaptioner():
                locate(captioner.name_or_path, captioner.revision, run.data_root)
            case GivenAnswers():
                _contender_of(captioner, run)
    for model in recipe.models:
        _run_of(model, run.data_root)


def _look_for_learned(recipe: CaptionersRecipe, run: RunDir, tasks: Sequence[TaskExamples]) -> list[str]:
    """Return which tuned models have learned from what they are, or were, asked about."""
    tuned = {model.name: _run_of(model, run.data_root) for model in recipe.models if model.tuned}
    for captioner in recipe.captioners:
        if isinstance(captioner, GivenAnswers):
            given = _contender_of(captioner, run)
            if given.run is not None and given.predictor == AFTER:
                tuned[captioner.name] = given.run
    return [
        f"{name}: {sentence}"
        for name, tuning in tuned.items()
        for sentence in find_learned_before(tuning.recipe, tuning.data_root, tasks)
    ]


def _match_given(recipe: CaptionersRecipe, run: RunDir, tasks: Sequence[TaskExamples]) -> list[str]:
    """Return what is to be known of answers that were given before; raise now what would be raised hours later."""
    return [
        remark
        for captioner in recipe.captioners
        if isinstance(captioner, GivenAnswers)
        for task in tasks
        for remark in match_answers(_contender_of(captioner, run), task, missing=captioner.missing).remarks
    ]


def _contender_of(captioner: GivenAnswers, run: RunDir) -> Contender:
    return open_contender(captioner.answers, captioner.name, run.data_root)


def _command_of(captioner: CommandCaptioner, run: RunDir) -> Command:
    log = run.path / LOGS / f"{captioner.name}.log"
    return Command(captioner.command, run.data_root, captioner.environment, log)


def _run_of(model: MeasuredRun, data_root: Path) -> RunDir:
    tuning = RunDir.existing((data_root / model.run).resolve())
    if tuning.is_rehearsal or tuning.is_evaluation:
        what = "a rehearsal" if tuning.is_rehearsal else "an evaluation"
        raise UserError(f"{model.name}: {tuning.path} is {what}, and holds no tuned model", hint="name a finished run")
    return tuning
