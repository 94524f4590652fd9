"""What a recipe needs of the machine that trains: said before anything is read or loaded."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import torch

from finesight.errors import UserError
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train


def require_machine(stages: Iterable[Stage]) -> None:
    """Raise `UserError` when a stage cannot be trained with what is installed, or without a GPU."""
    for stage in stages:
        require_optimizer(stage.train)
        if torch.cuda.is_available():
            _require_bfloat16(stage.train)
        else:
            _require_no_gpu(stage.train)


def require_optimizer(train: Train) -> None:
    """Raise `UserError` when the optimizer needs a package that is not there."""
    if "8bit" in train.optim and find_spec("bitsandbytes") is None:
        raise UserError(
            f"train.optim: {train.optim} needs bitsandbytes, which is not installed",
            hint="pip install 'finesight[quantize]', or set optim: adamw_torch",
        )


def _require_bfloat16(train: Train) -> None:
    if train.bf16 and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name()
        raise UserError(f"train.bf16: {name} does not compute in bfloat16", hint="train.fp16: true")


def _require_no_gpu(train: Train) -> None:
    # On a CPU accelerate would compute in float32 instead of float16 and say nothing, and bitsandbytes would not page.
    if train.optim.startswith("paged"):
        raise UserError(
            f"train.optim: {train.optim} needs a GPU, between whose memory and the machine's it moves its pages",
            hint="adamw_8bit keeps the same 8 bits, on a CPU too: --set train.optim=adamw_8bit (or --rehearse, which "
            "needs no GPU)",
        )
    if train.fp16:
        raise UserError(
            "train.fp16 needs a GPU", hint="on a CPU compute in float32: --set train.fp16=false (or --rehearse)"
        )
