"""A recipe's model as a step finds it, adapters and all, of fake tensors: every shape and no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from finesight.models.load import describe_model, silence_libraries
from finesight.models.part_sources import cast_weights
from finesight.models.parts import PartMap
from finesight.models.quantize import require_quantizable
from finesight.models.reach import reachable_parameters
from finesight.plan.packed import pack_language
from finesight.recipe.model import Model
from finesight.recipe.recipe import Stage
from finesight.tune.prepare import adapt, open_full_parts

Device = Literal["cuda", "cpu"]
"""What is planned for. It decides the number format of `dtype: auto`, and how an optimizer steps."""


def planned_dtype(spec: Model, device: Device) -> torch.dtype:
    """Return the number format of the weights: `auto` is bfloat16 on a GPU, else float32, as when loading."""
    if spec.dtype == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[spec.dtype]


def blueprint(spec: Model, stage: Stage, data_root: Path, device: Device) -> tuple[nn.Module, PartMap]:
    """Return the model on the meta device as `stage` trains it, and the map of its parts.

    Raises `ModelError` where its configuration is not at hand and no blueprint stands in for it, `UserError` where
    `tune` does not fit it.
    """
    silence_libraries()
    require_quantizable(spec)
    model, parts = describe_model(spec, data_root=data_root, may_stand_in=True)
    reachable = reachable_parameters(model)
    model.set_attn_implementation(spec.attn_implementation)
    model.requires_grad_(False)
    cast_weights(model, planned_dtype(spec, device))
    if spec.quantization != "none":
        pack_language(model, parts, spec.quantization)
    adapted = adapt(model, parts, stage.tune, reachable, empty=True)
    open_full_parts(adapted, parts, stage.tune, reachable)
    if stage.train.gradient_checkpointing:
        # Without the random state, which fake tensors have none of: it is small.
        model.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    return adapted, parts


def fill_with_fakes(model: nn.Module) -> None:
    """Give a model on the meta device tensors of the fake mode that is active, in place; what is tied stays tied."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    store[name] = made.setdefault(id(tensor), _fake_like(tensor))  # type: ignore[assignment]


def _fake_like(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
