"""4-bit and 8-bit weights for the language model, by bitsandbytes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from finesight.errors import ModelError, UserError
from finesight.recipe.model import AssembledModel, Model, MoondreamModel, Quantization, TextModel

# Full names: a bare "vision_tower" matches nothing, and naming anything drops the default protection of lm_head.
UNQUANTIZED_MODULES = ("model.vision_tower", "model.multi_modal_projector", "lm_head")


def require_bitsandbytes(quantization: Literal["none"] | Quantization) -> None:
    """Raise `UserError` when the recipe needs bitsandbytes and it is not installed."""
    if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "model.quantization needs bitsandbytes, which is not installed",
            hint="pip install 'finesight[quantize]', or set quantization: none",
        )


def require_quantizable(spec: Model) -> None:
    """Raise `ModelError` when the recipe quantises a model that cannot be."""
    refusal = why_unquantizable(spec)
    if spec.quantization != "none" and refusal is not None:
        raise refusal


def why_unquantizable(spec: Model) -> ModelError | None:
    """Return why a model cannot be quantised, to be raised; None where it can."""
    match spec:
        case MoondreamModel():
            return ModelError(
                "moondream2 cannot be quantised here",
                hint="set quantization: none; in bfloat16 its weights take 3.5 GiB",
            )
        case AssembledModel():
            return ModelError(
                "an assembled model cannot be quantised", hint="assemble and save it first, or set quantization: none"
            )
        case TextModel() if spec.config is not None:
            return ModelError(
                "a model of random weights cannot be quantised",
                hint="give name_or_path, the folder of a checkpoint, or set quantization: none",
            )
        case _:
            return None


def quantization_arguments(
    quantization: Literal["none"] | Quantization, *, unquantized: Sequence[str] = UNQUANTIZED_MODULES
) -> dict[str, Any]:
    """Return what `from_pretrained` needs to quantise the language model, or nothing.

    `unquantized` are the full names of what is not the language model's own body.
    Raises `UserError` when the recipe needs bitsandbytes and it is not installed.
    """
    if quantization == "none":
        return {}
    require_bitsandbytes(quantization)
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_8bit=quantization.load_in_8bit,
        load_in_4bit=not quantization.load_in_8bit,
        bnb_4bit_quant_type=quantization.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=quantization.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=getattr(torch, quantization.bnb_4bit_compute_dtype),
        llm_int8_skip_modules=list(unquantized),
    )
    return {"quantization_config": config}


def keep_differentiable(model: nn.Module) -> None:
    """Switch off, in every 4-bit layer, the bfloat16 kernel that bitsandbytes changes to when it answers on a CPU.

    It has no backward pass, and a layer that has once answered with it never changes back: after the evaluation
    before training, no gradient would come through.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def unpack(model: PreTrainedModel) -> None:
    """Turn every 4-bit layer of a model into an ordinary one, in place, with the float32 weights that it stands for."""
    model.dequantize(dtype=torch.float32)
