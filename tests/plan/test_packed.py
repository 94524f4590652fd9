"""4-bit and 8-bit layers, against what bitsandbytes' own hold and keep."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from torch import nn

from finesight.plan.packed import ByteLinear, PackedLinear
from finesight.recipe.model import Quantization
from finesight.train.memory import MemoryMeter

ROWS, IN, OUT = 48, 128, 256
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def layer() -> nn.Linear:
    return nn.Linear(IN, OUT, bias=False, device="meta")


def held_bytes(module: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (PackedLinear(layer(), Quantization(bnb_4bit_use_double_quant=False)), IN * OUT // 2 + 4 * 512),
        (PackedLinear(layer(), Quantization(bnb_4bit_use_double_quant=True)), IN * OUT // 2 + 512 + 4 * 2),
        (ByteLinear(layer()), IN * OUT + 4 * OUT),
    ],
    ids=["4 bits", "4 bits, constants packed too", "8 bits"],
)
def test_packed_weights_take_so_many_bytes(packed: nn.Module, expected: int) -> None:
    assert held_bytes(packed) == expected


def four_bits() -> tuple[nn.Module, list[torch.Tensor]]:
    """Return bitsandbytes' layer, and what it holds beside parameters and buffers."""
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(IN, OUT, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4").to("cpu").train()
    constants = layer.weight.quant_state
    return layer, [constants.absmax, constants.code]


def eight_bits() -> tuple[nn.Module, list[torch.Tensor]]:
    from bitsandbytes.nn import Linear8bitLt

    # Not training, so that even on a CPU it computes what it does on a GPU (`MatMul8bitLt`).
    layer = Linear8bitLt(IN, OUT, bias=False, has_fp16_weights=False, threshold=6.0).to("cpu").eval()
    layer(torch.zeros(1, 1, IN, dtype=torch.bfloat16))  # packs them
    return layer, [layer.state.CB, layer.state.SCB]


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore")  # bitsandbytes' own, on a CPU
@pytest.mark.parametrize(
    ("real", "planned"),
    [
        (four_bits, PackedLinear(layer(), Quantization(bnb_4bit_use_double_quant=False))),
        (eight_bits, ByteLinear(layer())),
    ],
    ids=["4 bits", "8 bits"],
)
def test_a_product_holds_what_bitsandbytes_does(
    real: Callable[[], tuple[nn.Module, list[torch.Tensor]]], planned: nn.Module
) -> None:
    assert product_bytes(planned, [], "meta") == product_bytes(*real(), "cpu")


def product_bytes(module: nn.Module, constants: list[torch.Tensor], device: str) -> tuple[int, int]:
    """Return what is held behind a forward pass, and at the worst moment of its backward pass, beside the weights."""
    with MemoryMeter() as meter, meter.counting_as("activations"):
        for held in (*module.parameters(), *module.buffers(), *constants):
            meter.count(held, "weights")
        x = torch.zeros(1, ROWS, IN, dtype=torch.bfloat16, device=device, requires_grad=True)
        y = module(x * 2)  # its input is another operation's output, which nothing else holds
        behind = meter.live("activations")
        meter.restart()
        y.backward(torch.ones_like(y))
        return behind, meter.peak.bytes_by_cause["activations"]
