"""A whole recipe: one file a run."""

from __future__ import annotations

from pydantic import Field, model_validator

from finesight.recipe.base import FieldFault, Spec
from finesight.recipe.data import Data
from finesight.recipe.evaluate import ClipCheckpoint, SetTask, Task
from finesight.recipe.model import Model, TextModel
from finesight.recipe.sources import Scenes, SvgCaptions
from finesight.recipe.train import LearningRates, Train
from finesight.recipe.tune import Lora, Tune
from finesight.schema import PART_NAMES


class Stage(Spec):
    """One stretch of training: what learns, and how."""

    name: str = Field(default="tune", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the stage's checkpoints."""
    sources: tuple[str, ...] = ()
    """Names of the training sources that this stage learns from and is chosen by. Default: all."""
    tune: Tune
    """What learns."""
    train: Train = Train()
    """How it is trained."""

    @model_validator(mode="after")
    def _rates_fit_parts(self) -> Stage:
        if fault := rates_fault(self.tune, self.train):
            raise ValueError(fault)
        return self


def rates_fault(tune: Tune, train: Train) -> str:
    """Return what is wrong between what learns and its learning rates, or an empty text."""
    learning = [part for part in PART_NAMES if tune.of(part) != "frozen"]
    if not learning:
        return "every part is frozen: nothing would learn"
    if without := [part for part in learning if train.learning_rate_of(part) is None]:
        return f"learning_rate gives no rate for {', '.join(without)}, which learns"
    if isinstance(train.learning_rate, LearningRates):
        frozen = [part for part in PART_NAMES if part not in learning and train.learning_rate_of(part) is not None]
        if frozen:
            return f"learning_rate gives a rate for {', '.join(frozen)}, which is frozen"
    return ""


class Recipe(Spec):
    """One run, from the data to the verdict."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the run folder."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Everything random comes from it."""
    model: Model
    """Which model, and how it is loaded."""
    data: Data
    """What is learned from, what chooses, what is reported on."""
    tune: Tune | None = None
    """What learns, when the run has one stage."""
    train: Train | None = None
    """How it is trained, when the run has one stage."""
    stages: tuple[Stage, ...] = ()
    """Several stages, each with its own tune and train."""
    evaluate: tuple[Task, ...] = Field(min_length=1)
    """What is measured before and after."""
    clip: ClipCheckpoint = ClipCheckpoint()
    """Whose scores tasks with `metric: clip_score` and its like have."""

    @model_validator(mode="after")
    def _stages_or_one(self) -> Recipe:
        if self.stages and (self.tune or self.train):
            raise ValueError("give either stages, or tune and train at the top, not both")
        if not self.stages and self.tune is None:
            raise ValueError("nothing is said about what learns: give tune (or stages)")
        if self.tune is not None and (fault := rates_fault(self.tune, self.train or Train())):
            raise ValueError(fault)
        for what, names in (
            ("task", [task.name for task in self.evaluate]),
            ("stage", [stage.name for stage in self.stages]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {what}s have the name {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _one_context(self) -> Recipe:
        data = self.data
        for source in (*data.train, *data.validation, *data.test, *self.evaluate):
            if isinstance(source, SvgCaptions | Scenes) and source.context == "both":
                raise ValueError(
                    "context: both is for recipes of captioners, which measure several models (hint: set context: svg "
                    "for a text model, image for one that sees)"
                )
        return self

    @model_validator(mode="after")
    def _named_sources_exist(self) -> Recipe:
        names = [source.name for source in self.data.train if source.name]
        for stage in self.stages:
            if unknown := [name for name in stage.sources if name not in names]:
                known = f"the names are {', '.join(names)}" if names else "give a source of data.train a name"
                raise ValueError(f"stage {stage.name}: no source is named {', '.join(unknown)} (hint: {known})")
        return self

    @model_validator(mode="after")
    def _weights_are_of_what_is_learned(self) -> Recipe:
        own_tasks = [task for task in self.evaluate if not isinstance(task, SetTask)]
        if any(source.weight != 1 for source in (*self.data.validation, *self.data.test, *own_tasks)):
            raise ValueError(
                "weight says how often a source of data.train is seen; what is measured is measured once (hint: take "
                "weight out of data.validation, data.test and evaluate)"
            )
        return self

    @model_validator(mode="after")
    def _tuned_parts_exist(self) -> Recipe:
        tunes = [tune for tune in (self.tune, *(stage.tune for stage in self.stages)) if tune]
        asked = [part for part in PART_NAMES if part != "language" and any(tune.of(part) != "frozen" for tune in tunes)]
        if isinstance(self.model, TextModel) and asked:
            raise ValueError(
                f"tune asks for {' and '.join(asked)}, but a text model is language alone (hint: tune language)"
            )
        return self

    @model_validator(mode="after")
    def _packed_weights_stay(self) -> Recipe:
        if self.model.quantization == "none" or (self.tune is None and not self.stages):
            return self
        stages = self.each_stage()
        if any(stage.tune.language == "full" for stage in stages):
            raise ValueError(
                "quantised weights cannot be tuned in full (hint: tune language by lora, or quantization: none)"
            )
        if any(isinstance(stage.tune.of(part), Lora) for stage in stages[:-1] for part in PART_NAMES):
            raise ValueError(
                "adapters cannot be merged into quantised weights without losing what they learned, so none may stand "
                "in a stage before the last (hint: tune in one stage, or quantization: none)"
            )
        return self

    @model_validator(mode="after")
    def _something_is_reported(self) -> Recipe:
        if not self.reported_tasks():
            raise ValueError(
                "no held_out task is measured on a set that neither taught the model nor chose the checkpoint "
                "(hint: add a task `from: test`)"
            )
        return self

    @model_validator(mode="after")
    def _stopping_is_watched(self) -> Recipe:
        watched = [task.name for task in self.evaluate if isinstance(task, SetTask) and task.from_ == "validation"]
        there = ["eval_loss", *(f"eval_{name}" for name in watched)]
        trains: dict[tuple[str | int, ...], Train | None] = {("train",): self.train}
        trains |= {("stages", place, "train"): stage.train for place, stage in enumerate(self.stages)}
        for where, train in trains.items():
            if train and train.early_stopping and train.early_stopping.metric not in there:
                raise FieldFault(
                    (*where, "early_stopping", "metric"),
                    f"must be a figure of a validation, which gives {', '.join(there)}; not "
                    f"`{train.early_stopping.metric}` (hint: a task `from: validation` adds eval_<name>)",
                )
        return self

    def reported_tasks(self) -> tuple[Task, ...]:
        """Return the tasks that the verdict rests on: held out, on a set that neither taught nor chose the checkpoint.

        Where the data have no such set, it rests on the validation set, and says so.
        """
        held_out = [task for task in self.evaluate if task.role == "held_out"]
        apart = [task for task in held_out if not isinstance(task, SetTask) or task.from_ == "test"]
        if apart or self.data.test or self.data.split.test > 0:
            return tuple(apart)
        return tuple(task for task in held_out if isinstance(task, SetTask) and task.from_ == "validation")

    def each_stage(self) -> tuple[Stage, ...]:
        """Return the run's stages in order; tune and train at the top are one stage."""
        if self.stages:
            return self.stages
        assert self.tune is not None
        return (Stage(tune=self.tune, train=self.train or Train()),)
