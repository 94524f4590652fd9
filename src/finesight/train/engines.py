"""How several processes train one model, as settings of transformers' Trainer, and what each of them cannot do.

What they cannot do is told by `finesight launch` too, before it starts any: torch is imported only where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from finesight.errors import UserError
from finesight.recipe.model import Model
from finesight.recipe.recipe import Recipe
from finesight.recipe.train import Train
from finesight.runtime import Engine, KeepImages, chosen_engine, process_count

if TYPE_CHECKING:
    from finesight.models.encoded import Encoded

SPREADABLE = ("adamw_torch", "adamw_torch_fused", "sgd")
"""Optimizers whose states can be cut in pieces and put together again: one number for each weight."""

_INSTEAD = "take the engine ddp"


@dataclass(frozen=True)
class Obstacle:
    """What keeps an engine from training a stage."""

    what: str
    """In a few words, the same for every engine."""
    why: str
    way_out: str


def spreads(engine: Engine) -> bool:
    """Return whether an engine takes a model apart, so that it is whole on no process while it is trained."""
    return engine != "ddp"


def require_fitting_engine(recipe: Recipe, keep: KeepImages) -> None:
    """Raise `UserError` where the chosen engine cannot train what the recipe asks for."""
    engine = chosen_engine()
    if not spreads(engine):
        return
    if keep in ("features", "fastest"):
        raise UserError(f"kept features of images go past the model that {engine} has taken apart", hint=_INSTEAD)
    for stage in recipe.each_stage():
        if obstacle := find_obstacle(engine, recipe.model, stage.train):
            raise UserError(obstacle.why, hint=obstacle.way_out)
    # Last: whoever installs it shall not then be told that it was of no use.
    if engine != "fsdp" and find_spec("deepspeed") is None:
        raise UserError(f"the engine {engine} needs DeepSpeed", hint='pip install "finesight[deepspeed]"')


def find_obstacle(engine: Engine, model: Model, train: Train) -> Obstacle | None:
    """Return what an engine cannot train of such a model, whatever the rows; None where it can."""
    if not spreads(engine):
        return None
    if model.quantization != "none":
        why = f"quantised weights cannot be spread over processes by {engine}"
        return Obstacle("quantised weights", why, _INSTEAD)
    if train.optim not in SPREADABLE:
        what = f"train.optim: {train.optim}"
        why = f"{what} keeps states that {engine} cannot spread over processes"
        return Obstacle(what, why, f"one of {', '.join(SPREADABLE)}; or {_INSTEAD}")
    if "skip" in (train.guards.on_bad_loss, train.guards.on_spike) and engine != "fsdp":
        why = f"train.guards: DeepSpeed takes a step before it can be judged, so {engine} cannot leave one out"
        return Obstacle(
            "train.guards that leave steps out", why, f"on_bad_loss: stop and on_spike: note; or {_INSTEAD}"
        )
    if train.fp16:
        why = f"train.fp16: no gradient scaler was tried with {engine}, whose processes each see a piece"
        return Obstacle("train.fp16", why, f"train.bf16; or {_INSTEAD}")
    return None


def require_alike_rows(contexts: Sequence[Encoded]) -> None:
    """Raise `UserError` where some rows pass through parts of the model that others leave out, and an engine cannot.

    Pieces of a part are brought together by all processes at once: one whose row has no image would not come.
    """
    engine = chosen_engine()
    if spreads(engine) and differ(contexts):
        raise UserError(
            f"some examples have an image and others none: {engine} needs all processes in the same part of the model",
            hint="take the engine ddp",
        )


def differ(contexts: Sequence[Encoded]) -> bool:
    """Return whether some rows have an image and others none."""
    return len({bool(context.images) for context in contexts}) > 1


def engine_arguments(engine: Engine, train: Train, *, rows_differ: bool) -> dict[str, Any]:
    """Return what `TrainingArguments` are told of the engine, and of the precision, of which DeepSpeed has its own."""
    precision: dict[str, Any] = {"bf16": train.bf16, "fp16": train.fp16}
    match engine:
        case "ddp":
            if process_count() == 1:
                return precision
            # A row without an image leaves the vision encoder without a gradient: DDP has to look for such.
            return {**precision, "ddp_find_unused_parameters": rows_differ, "ddp_backend": _backend()}
        case "fsdp":
            return {**precision, "ddp_backend": _backend()}
        case _:
            # Its own `bf16` would round the weights that learn; autocast computes as one process does.
            return {"bf16": False, "fp16": False, "deepspeed": _deepspeed_settings(engine, train)}


def _backend() -> str | None:
    """Return what processes talk through; None for what transformers takes for the device at hand."""
    import torch

    return None if torch.cuda.is_available() else "gloo"


def _deepspeed_settings(engine: Engine, train: Train) -> dict[str, Any]:
    """Return DeepSpeed's settings; "auto" is filled in from the `TrainingArguments`."""
    zero: dict[str, Any] = {"stage": 3 if engine == "zero3" else 2}
    if engine == "zero2-offload":
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # torch's own AdamW: DeepSpeed's has to be compiled where it runs
        "bf16": {"enabled": False},
        "torch_autocast": {"enabled": train.bf16, "dtype": "bfloat16"},
        "gradient_clipping": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "steps_per_print": 2**31,
    }
