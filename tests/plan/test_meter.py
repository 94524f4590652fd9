"""Counting live storages and operations."""

from __future__ import annotations

import torch

from finesight.train.memory import MemoryMeter

KIB = 256  # float32 numbers


def test_the_peak_is_what_was_live_together() -> None:
    with MemoryMeter() as meter, meter.counting_as("activations"):
        first = torch.empty(KIB)
        view = first.view(2, -1)
        del first
        second = torch.empty(2 * KIB)
        del view
        third = torch.empty(KIB)
    assert meter.peak.bytes_by_cause == {"activations": 3 * 1024}
    assert meter.live("activations") == 3 * 1024
    del second, third
    assert meter.live("activations") == 0


def test_a_new_peak_is_sought_after_a_restart() -> None:
    with MemoryMeter() as meter:
        torch.empty(8 * KIB)
        kept = torch.empty(KIB)
        meter.restart()
        assert meter.peak.bytes == 1024
        more = torch.empty(KIB)
    assert meter.peak.bytes == 2 * 1024
    del kept, more


def test_causes_can_be_told_later_and_by_shape() -> None:
    with MemoryMeter(vocabulary=50) as meter:
        logits = torch.empty(4, 50)
        gradient = torch.empty(KIB)
        meter.count(gradient, "gradients")
    assert {cause: meter.live(cause) for cause in ("logits", "gradients", "packing")} == {
        "logits": 800, "gradients": 1024, "packing": 0,
    }  # fmt: skip
    del logits


def test_operations_of_products_and_attention() -> None:
    with MemoryMeter() as meter:
        torch.ones(3, 5) @ torch.ones(5, 7)
    assert meter.flops == 2 * 3 * 5 * 7
    query = torch.ones(1, 2, 6, 8)
    with MemoryMeter() as meter:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert meter.flops == 2 * (2 * 2 * 6 * 6 * 8)
