"""The `evaluate:` section: what is measured before and after."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

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
from finesight.schema import MeasuredRole

MetricName = Literal["exact_match"]


class TaskFields(Spec):
    """What every task has."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Names the task's files and its row in the report."""
    metric: MetricName = "exact_match"
    """How an answer is scored; `finesight list metrics` explains each."""
    role: MeasuredRole = "held_out"
    """`held_out`: the verdict. `forgetting`: what should be kept. `memorization`: examples that were learned."""
    max_new_tokens: int = Field(default=32, gt=0)
    """An answer is cut after so many tokens, and counted as cut."""
    max_samples: int | None = Field(default=None, gt=0)
    """Measure on at most this many questions, drawn by whole groups from the seed."""


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
