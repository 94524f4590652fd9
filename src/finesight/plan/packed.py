"""4-bit and 8-bit layers as far as memory goes: what they hold, and what their products make and keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from finesight.models.parts import PartMap
from finesight.recipe.model import Quantization

_BLOCK = 64
"""Weights that share a constant, in bitsandbytes."""
_SECOND_BLOCK = 256
"""Constants that share one of their own, with double quantisation."""


class PackedLinear(nn.Linear):
    """What bitsandbytes' `Linear4bit` holds and makes, on fake tensors and without bitsandbytes.

    Its product keeps no input for the backward pass, and unpacks the weights in both directions (`MatMul4Bit`).
    """

    def __init__(self, layer: nn.Linear, settings: Quantization) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        count = layer.weight.numel()
        constants = -(-count // _BLOCK)
        packed = torch.empty((count + 1) // 2, 1, dtype=torch.uint8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)
        if settings.bnb_4bit_use_double_quant:
            self.register_buffer("absmax", torch.empty(constants, dtype=torch.uint8, device="meta"))
            self.register_buffer("nested", torch.empty(-(-constants // _SECOND_BLOCK), device="meta"))
        else:
            self.register_buffer("absmax", torch.empty(constants, device="meta"))
        self._weight_dtype = layer.weight.dtype
        self._compute_dtype: torch.dtype = getattr(torch, settings.bnb_4bit_compute_dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product, in the number format of `x`."""
        shape = (self.out_features, self.in_features)
        product: torch.Tensor = _Unpacked.apply(x.to(self._compute_dtype), self.weight, shape, self._weight_dtype)  # type: ignore[no-untyped-call]
        if self.bias is not None:
            product = product + self.bias.to(self._compute_dtype)
        return product.to(x.dtype)


class _Unpacked(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: torch.Tensor, packed: torch.Tensor, shape: tuple[int, int], dtype: torch.dtype
    ) -> torch.Tensor:
        context.shape, context.dtype = shape, dtype
        return nn.functional.linear(x, x.new_empty(shape))

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = gradients
        # Into the number format that the weights had before, and only then into that of the product.
        unpacked = gradient.new_empty(context.shape, dtype=context.dtype).to(gradient.dtype)
        return gradient @ unpacked, None, None, None


class ByteLinear(nn.Linear):
    """What bitsandbytes' `Linear8bitLt` holds and makes on a GPU (LLM.int8()): a byte a weight, a scale a row.

    Its product keeps its input for the backward pass, and unpacks the weights there (`MatMul8bitLt`). What it computes
    apart are the few features that stick out of the rest; how many those are only real weights tell: not counted.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight = nn.Parameter(torch.empty_like(self.weight, dtype=torch.int8), requires_grad=False)
        self.register_buffer("scales", torch.empty(layer.out_features, 1, device="meta"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the product, in the number format of `x`."""
        product: torch.Tensor = _Bytes.apply(x, self.weight, self.scales)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product.add_(self.bias)


class _Bytes(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        context.kept = (x, weight, scales)
        rounded = x.to(torch.float16).to(torch.int8)
        whole = torch._int_mm(rounded.flatten(end_dim=-2), weight.t())
        return whole.to(x.dtype).view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        x, weight, scales = context.kept
        unpacked = weight.to(x.dtype).mul_(scales.to(x.dtype))
        return gradient.to(x.dtype) @ unpacked, None, None


def pack_language(model: nn.Module, parts: PartMap, settings: Quantization) -> None:
    """Pack the linear layers of the language model, in place, all but its head: what loading does."""
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            full = f"{name}.{child_name}".removeprefix(".")
            is_body = parts.part_of(f"{full}.weight") == "language" and child_name != "lm_head"
            if isinstance(child, nn.Linear) and is_body:
                packed = ByteLinear(child) if settings.load_in_8bit else PackedLinear(child, settings)
                setattr(module, child_name, packed)
