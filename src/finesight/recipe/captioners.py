"""A recipe of captioners: who describes which pictures, side by side. Nothing is tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from finesight.recipe.base import Spec
from finesight.recipe.evaluate import ClipCheckpoint, ScenesTask, SetTask, SvgCaptionsTask, Task

TAKEN_NAMES = ("model", "before", "after", "blind", "majority", "majority_by_question_type")
"""What a run folder calls its own predictors."""
SECTIONS_OF_A_RUN = ("model", "data", "tune", "train", "stages")
"""What a recipe has that tunes a model. Captioners are measured and never tuned: the two do not mix."""


class ContenderFields(Spec):
    """What everybody who is measured has."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names its row in the table, and its folder of answers."""

    @model_validator(mode="after")
    def _name_is_free(self) -> ContenderFields:
        if self.name in TAKEN_NAMES:
            raise ValueError(f"finesight's own answers are named {self.name} (hint: choose another name)")
        return self


class HuggingFaceCaptioner(ContenderFields):
    """A model of the Hugging Face hub that writes text about an image: BLIP, ViT-GPT2, and many more."""

    kind: Literal["huggingface"]
    """A checkpoint that transformers loads by `AutoModelForImageTextToText`."""
    name_or_path: str
    """A folder (relative to the data root) or a hub name."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """One number format for all weights. `auto`: bfloat16 on a GPU that has it, else float32."""
    prompt: str | None = None
    """What the caption goes on from, as BLIP's `a photo of`; a model with a chat template is asked it. Default: the
    picture alone, or what the task asks where the model has a chat template."""
    max_new_tokens: int | None = Field(default=None, gt=0)
    """A caption is cut after so many tokens, and counted as cut. Default: as the task says."""
    num_beams: int = Field(default=1, gt=0)
    """1 takes the likeliest token each time; more search for a likelier caption."""
    batch_size: int = Field(default=8, gt=0)
    """How many pictures are described at once."""


class CommandCaptioner(ContenderFields):
    """Any program, in whatever environment it needs: it reads pictures' paths and writes captions, a line each."""

    kind: Literal["command"]
    """A program that reads {"id", "image", "prompt"} on stdin and writes {"id", "caption"} on stdout, JSON Lines."""
    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments, as `[python, caption.py]`, run in the data root and without a shell."""
    timeout_seconds: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """It is ended when no caption has come for so long; loading its model counts too."""
    environment: dict[str, str] = Field(default={})
    """Environment variables that are set for it, beside those that are there."""


class GivenAnswers(ContenderFields):
    """Answers that are there already: those of a run, of an evaluation, or of a predictions file."""

    kind: Literal["answers"]
    """Answers that were given before, taken by their ids. Nobody is asked."""
    answers: str
    """As `finesight compare` takes them: a run folder, `RUN@before`, `EVALUATION@blip`, or a predictions file (.jsonl);
    relative to the data root. Of a folder, its answers to the task of the same name."""
    missing: Literal["refuse", "empty"] = "refuse"
    """Where an example has no answer: `refuse` ends the evaluation before anybody is asked, `empty` counts it as an
    empty answer. Both say how many there are."""


Captioner = Annotated[HuggingFaceCaptioner | CommandCaptioner | GivenAnswers, Field(discriminator="kind")]


class MeasuredRun(ContenderFields):
    """A model that finesight has tuned."""

    run: str
    """Its run folder, relative to the data root."""
    tuned: bool = True
    """false: the model as it was before the tuning."""


class CaptionersRecipe(Spec):
    """Captioners and tuned models on the same pictures: `finesight evaluate captioners.yaml`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the folder of the evaluation."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Everything random comes from it."""
    captioners: tuple[Captioner, ...] = Field(min_length=1)
    """Who describes the pictures."""
    models: tuple[MeasuredRun, ...] = ()
    """Tuned models that are asked about the same pictures."""
    evaluate: tuple[Task, ...] = Field(min_length=1)
    """What is described. Each task has a source of its own, with pictures."""
    clip: ClipCheckpoint = ClipCheckpoint()
    """Whose scores tasks with `metric: clip_score` and its like have."""

    @property
    def names(self) -> tuple[str, ...]:
        """Whose answers there will be, but for the majority's."""
        return tuple(contender.name for contender in (*self.captioners, *self.models))

    @model_validator(mode="after")
    def _names_differ(self) -> CaptionersRecipe:
        for what, names in (
            ("contender", [contender.name for contender in (*self.captioners, *self.models)]),
            ("task", [task.name for task in self.evaluate]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what}s have the name {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _tasks_are_for_captioners(self) -> CaptionersRecipe:
        for task in self.evaluate:
            if fault := task_fault(task):
                raise ValueError(f"the task {task.name}: {fault}")
        return self


def task_fault(task: Task) -> str:
    """Return why captioners cannot be measured on a task, or an empty text."""
    if isinstance(task, SetTask):
        return f"from: {task.from_} is a set of a run (hint: give the task a source of its own, by `kind` or `task`)"
    if isinstance(task, SvgCaptionsTask | ScenesTask) and task.context == "svg":
        return (
            "captioners see pictures, and context: svg gives text (hint: set context: image, or both: then text models "
            "read the drawing, and the others see it)"
        )
    if task.answer_by != "generation" or task.stop or task.temperature:
        return "captioners write in their own way (hint: take answer_by, stop and temperature out)"
    if "perplexity" in (task.metric, *task.also):
        return "captioners do not say how likely they find a reference (hint: take perplexity out)"
    if task.weight != 1:
        return "weight says how often something is learned from; what is measured is measured once"
    return ""
