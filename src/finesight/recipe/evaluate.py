"""The `evaluate:` section: what is measured before and after."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from finesight.recipe.base import Spec
from finesight.recipe.sources import (
    CocoCaptions,
    LlavaJson,
    MultipleChoice,
    PythonSource,
    Scenes,
    SvgCaptions,
    VqaCsv,
    VqaJson,
    VqaParquet,
)
from finesight.schema import AnswerBy, MeasuredRole

MetricName = Literal[
    "exact_match", "gqa_ru", "lemma_match", "token_f1", "vqa_accuracy", "vqa_accuracy_official", "choice_accuracy",
    "choice_accuracy_circular", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "meteor", "sacrebleu",
    "chrf", "clip_score", "ref_clip_score", "clip_logit", "perplexity",
]  # fmt: skip


class ClipCheckpoint(Spec):
    """The CLIP of `clip_score`, `ref_clip_score` and `clip_logit`; read only where a task names one of them."""

    name_or_path: str = "openai/clip-vit-base-patch32"
    """A folder (relative to the data root) or a hub name. Published figures are of the default."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""


class TaskFields(Spec):
    """What every task has."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the task's files and its row in the report."""
    task: str | None = None
    """A benchmark that comes with finesight (`finesight list tasks`): its data, prompt, limits and metric, but for what
    is said here."""
    task_version: int | None = None
    """Which version of it; the run folder's recipe has it."""
    metric: MetricName = "exact_match"
    """How an answer is scored; `finesight list metrics` explains each."""
    also: tuple[MetricName, ...] = ()
    """Metrics that are shown beside it. No verdict rests on them."""
    role: MeasuredRole = "held_out"
    """`held_out`: the verdict. `forgetting`: what should be kept. `memorization`: examples that were learned."""
    max_new_tokens: int = Field(default=32, gt=0)
    """An answer is cut after so many tokens, and counted as cut."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """An answer ends before the first of these texts, as `["\\n"]` for its first line; one that begins so is empty."""
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """0 gives the likeliest token each time. Above, tokens are drawn at random, from the recipe's `seed`."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Of the tokens to draw from, only the likeliest with this share of the probability are left."""
    answer_by: AnswerBy = "generation"
    """`likelihood` takes the option that the model finds likeliest, a letter where options have letters: nothing is
    written, and nothing has to be read out of an answer."""
    max_samples: int | None = Field(default=None, gt=0)
    """Measure on at most this many questions, drawn by whole groups from the seed."""

    @model_validator(mode="after")
    def _fits_its_way_of_answering(self) -> Self:
        if self.answer_by == "likelihood" and (self.stop or self.temperature):
            raise ValueError(
                "with answer_by: likelihood no answer is written (hint: take stop and temperature out, or set "
                "answer_by: generation)"
            )
        if self.top_p < 1 and not self.temperature:
            raise ValueError("top_p without a temperature changes nothing (hint: set temperature, as 1.0)")
        return self


class SetTask(TaskFields):
    """A task on one of the run's own sets."""

    from_: Literal["test", "validation", "train"] = Field(alias="from")
    """`test` for the verdict; `validation` is measured during training; `train` shows what was memorised."""


class LlavaJsonTask(TaskFields, LlavaJson):
    """A task on conversations in LLaVA's form."""


class VqaJsonTask(TaskFields, VqaJson):
    """A task on questions in JSON."""


class VqaCsvTask(TaskFields, VqaCsv):
    """A task on questions in a table."""


class VqaParquetTask(TaskFields, VqaParquet):
    """A task on questions in parquet."""


class MultipleChoiceTask(TaskFields, MultipleChoice):
    """A task on questions with options."""


class CocoCaptionsTask(TaskFields, CocoCaptions):
    """A task on captions in COCO's form."""


class SvgCaptionsTask(TaskFields, SvgCaptions):
    """A task on captions of drawings."""


class PythonTask(TaskFields, PythonSource):
    """A task on what a user's function returns."""


class ScenesTask(TaskFields, Scenes):
    """A task on generated pictures."""


def _kind_of_task(value: Any) -> str | None:
    if isinstance(value, dict):
        return "from" if "from" in value or "from_" in value else value.get("kind")
    return "from" if isinstance(value, SetTask) else getattr(value, "kind", None)


Task = Annotated[
    Annotated[SetTask, Tag("from")]
    | Annotated[LlavaJsonTask, Tag("llava_json")]
    | Annotated[VqaJsonTask, Tag("vqa_json")]
    | Annotated[VqaCsvTask, Tag("vqa_csv")]
    | Annotated[VqaParquetTask, Tag("vqa_parquet")]
    | Annotated[MultipleChoiceTask, Tag("multiple_choice")]
    | Annotated[CocoCaptionsTask, Tag("coco_captions")]
    | Annotated[SvgCaptionsTask, Tag("svg_captions")]
    | Annotated[PythonTask, Tag("python")]
    | Annotated[ScenesTask, Tag("scenes")],
    Discriminator(_kind_of_task),
]
