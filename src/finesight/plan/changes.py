"""What can be changed where a recipe does not fit, the least costly first; a plan tries each."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from finesight.models.quantize import why_unquantizable
from finesight.plan.workload import Rows
from finesight.recipe.model import Model, Quantization
from finesight.recipe.recipe import Recipe, Stage
from finesight.recipe.train import LearningRates
from finesight.recipe.tune import Lora, Tune
from finesight.schema import PART_NAMES
from finesight.train.memory import CAUSES, Cause


@dataclass(frozen=True)
class Situation:
    """All that a plan depends on."""

    model: Model
    stages: tuple[Stage, ...]
    rows: Rows
    max_tokens: int
    gpus: int
    staged: bool
    """Whether the recipe has `stages`, and not one stage at its top."""

    @classmethod
    def of(cls, recipe: Recipe, rows: Rows, *, max_tokens: int, gpus: int) -> Situation:
        """Return a recipe's."""
        return cls(recipe.model, recipe.each_stage(), rows, max_tokens, gpus, bool(recipe.stages))

    def of_stages(self, settings: Mapping[str, str], stages: Iterable[int] | None = None) -> dict[str, str]:
        """Return settings of a stage as settings of the recipe: for all its stages, or for those of some numbers."""
        if not self.staged:
            return dict(settings)
        numbers = range(len(self.stages)) if stages is None else stages
        return {f"stages.{number}.{field}": value for number in numbers for field, value in settings.items()}


@dataclass(frozen=True)
class Change:
    """Something that could be changed."""

    settings: Mapping[str, str]
    """Fields of the recipe, or options of the command line (`--…`), and what each is set to."""
    costs: str
    """What it costs beside the operations that are counted."""
    made: Situation


_MAX_TOKENS = "--max-tokens-per-device"

Maker = Callable[[Situation], Change | None]


def combine(situation: Situation, makers: Sequence[Maker]) -> tuple[list[Change], Situation]:
    """Return several changes made one after another, and what comes of them."""
    made = []
    for make in makers:
        if change := make(situation):
            made.append(change)
            situation = change.made
    return made, situation


def command_line(changes: Iterable[Change]) -> list[str]:
    """Return what to type for changes made one after another: of two to the same setting, the later."""
    settings: dict[str, str] = {}
    for change in changes:
        settings |= change.settings
    return [
        f"{name} {value}" if name.startswith("--") else f"--set {shlex.quote(f'{name}={value}')}"
        for name, value in settings.items()
    ]


def smaller_batches(divisor: int, situation: Situation) -> Change | None:
    """Fewer tokens at once: that part of what it was, or one row."""
    longest = max(64, situation.rows.longest)
    tokens = max(longest, situation.max_tokens // divisor)
    if tokens >= situation.max_tokens:
        return None
    made = replace(situation, max_tokens=tokens)
    return Change({_MAX_TOKENS: str(tokens)}, "smaller batches keep a GPU less busy; loss and answers stay", made)


def eight_bit_optimizer(situation: Situation) -> Change | None:
    """States of a byte each."""
    if all(stage.train.optim not in ("adamw_torch", "adamw_torch_fused") for stage in situation.stages):
        return None
    made = _train(situation, "optim", "adamw_8bit")
    settings = situation.of_stages({"train.optim": "adamw_8bit"})
    return Change(settings, "states are rounded to 8 bits; needs bitsandbytes", made)


def half_weights(situation: Situation) -> Change | None:
    """Weights in bfloat16."""
    if situation.model.dtype != "float32":
        return None
    full = any(stage.tune.of(part) == "full" for stage in situation.stages for part in PART_NAMES)
    costs = "what learns in full loses small steps in bfloat16" if full else "frozen weights are rounded to bfloat16"
    model = situation.model.model_copy(update={"dtype": "bfloat16"})
    mixed = [number for number, stage in enumerate(situation.stages) if stage.train.bf16]
    settings = {"model.dtype": "bfloat16"} | (situation.of_stages({"train.bf16": "false"}, mixed) if mixed else {})
    return Change(settings, costs, _train(replace(situation, model=model), "bf16", False))


def packed_weights(situation: Situation) -> Change | None:
    """Frozen weights in 4 bits."""
    model = situation.model
    full = any(stage.tune.language == "full" for stage in situation.stages)
    # As a recipe may have them: what is quantised takes no adapters into its weights, as a second stage would.
    merged = any(isinstance(stage.tune.of(part), Lora) for stage in situation.stages[:-1] for part in PART_NAMES)
    if model.quantization != "none" or why_unquantizable(model) or full or merged:
        return None
    made = replace(situation, model=model.model_copy(update={"quantization": Quantization()}))
    settings = {"model.quantization": "{bnb_4bit_quant_type: nf4}"}
    return Change(settings, "weights are unpacked for every product", made)


def checkpointed_activations(situation: Situation) -> Change | None:
    """Activations computed twice."""
    if all(stage.train.gradient_checkpointing for stage in situation.stages):
        return None
    made = _train(situation, "gradient_checkpointing", True)
    settings = situation.of_stages({"train.gradient_checkpointing": "true"})
    return Change(settings, "activations are computed twice", made)


def shorter_rows(situation: Situation) -> Change | None:
    """Half the length."""
    length = situation.rows.longest // 2
    rows = situation.rows.shorter(length)
    if rows is None:
        return None
    tokens = max(64, min(situation.max_tokens, length))
    settings = {"data.max_length": str(length), "data.over_length": "drop"}
    if tokens < situation.max_tokens:
        settings[_MAX_TOKENS] = str(tokens)
    made = replace(situation, rows=rows, max_tokens=tokens)
    return Change(settings, "longer examples are left out of training", made)


def adapters_instead(situation: Situation) -> Change | None:
    """LoRA where the language model is tuned in full."""
    if all(stage.tune.language != "full" for stage in situation.stages):
        return None
    lora = Lora(method="lora")
    stages, settings = list(situation.stages), dict[str, str]()
    for number, stage in enumerate(stages):
        if stage.tune.language != "full":
            continue
        stages[number] = stage.model_copy(update={"tune": Tune(projector=stage.tune.projector, language=lora)})
        changed = {"tune.language": "{method: lora}", "tune.vision": "frozen"}
        if isinstance(stage.train.learning_rate, LearningRates) and stage.train.learning_rate.vision is not None:
            changed["train.learning_rate.vision"] = "null"
        settings |= situation.of_stages(changed, [number])
    return Change(settings, "less can be learned", replace(situation, stages=tuple(stages)))


@dataclass(frozen=True)
class Kind:
    """Changes of which one is enough."""

    makers: tuple[Maker, ...]
    """The weakest first."""
    saves: frozenset[Cause]
    """What may become less by it."""


_OF_ROWS: frozenset[Cause] = frozenset({"activations", "logits", "image tower", "packing", "answer cache"})
_ALL: frozenset[Cause] = frozenset(CAUSES)
KINDS = (
    Kind(tuple(partial(smaller_batches, divisor) for divisor in (2, 4, 8, 2**20)), _OF_ROWS),
    Kind((eight_bit_optimizer,), frozenset({"optimizer"})),
    Kind((half_weights,), _ALL),
    Kind((packed_weights,), _ALL),
    Kind((checkpointed_activations,), _OF_ROWS),
    Kind((shorter_rows,), _OF_ROWS),
    Kind((adapters_instead,), _ALL),
)
"""The least costly first."""


def _train(situation: Situation, field: str, value: object) -> Situation:
    stages = tuple(
        stage.model_copy(update={"train": stage.train.model_copy(update={field: value})}) for stage in situation.stages
    )
    return replace(situation, stages=stages)
