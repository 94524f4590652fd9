"""Models that decide by what is in a picture what they compute, on fake tensors; and what is known of those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from finesight.branches.contexts import share_contexts
from finesight.branches.loss import learned_losses
from finesight.models.hf.families import FAMILIES
from finesight.models.load import load_model
from finesight.plan.known import KnownNumbers
from finesight.plan.simulate import simulate
from finesight.plan.workload import Largest, lengthened
from finesight.recipe.recipe import Stage
from finesight.train.batches import make_batch
from finesight.train.memory import MemoryMeter
from finesight.tune.prepare import prepare_model

STAGE = Stage.model_validate(
    {"tune": {"projector": "full", "language": {"method": "lora", "r": 2}}, "train": {"optim": "sgd"}}
)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_holds_what_it_does_on_real_tensors(
    family: str, make_spec: Callable[..., Any], examples: tuple[Any, ...]
) -> None:
    spec = make_spec("hf", family, dtype="float32")
    loaded = load_model(spec, data_root=Path())
    shown = [
        loaded.formatter.encode(example, answered=True)
        for example in examples
        if len(example.images) == 1 and len(example.turns) == 2
    ]
    batch = make_batch(share_contexts(shown)[:2], loaded.formatter)
    prepare_model(loaded, STAGE.tune, STAGE.train)
    loaded.model.train()
    with MemoryMeter() as meter:
        for held in (*loaded.model.parameters(), *loaded.model.buffers()):
            meter.count(held, "weights")
        rows = batch.layout.changed(torch.Tensor.clone)
        pixels = {name: each.clone() for name, each in (batch.pixels or {}).items()}
        learned_losses(loaded.model, rows, pixels, torch.float32).sum().backward()
    longer = lengthened(batch, batch.layout.input_ids.shape[1] + 8)
    planned = simulate(spec, STAGE, Largest((batch,), 1, longer, 1), data_root=Path(), device="cpu")
    assert meter.peak.bytes == pytest.approx(planned.training.bytes, rel=0.02)
    assert planned.answering.bytes_by_cause["answer cache"] > 0


@pytest.fixture
def fakes() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True), KnownNumbers():
        yield


GRID = torch.tensor([[1, 4, 6]])


@pytest.mark.usefixtures("fakes")
def test_what_follows_from_real_numbers_is_known() -> None:
    grid = GRID.clone()
    assert (grid[0, 1] * grid[0, 2]).tolist() == 24
    assert grid.prod(dim=1).tolist() == [24]
    assert torch.repeat_interleave(grid.flatten(), grid.flatten()).shape == (11,)
    assert (grid > 2).nonzero().tolist() == [[0, 1], [0, 2]]
    assert torch.zeros(3).tolist() == [0, 0, 0]


@pytest.mark.usefixtures("fakes")
def test_a_mask_picks_as_many_as_are_in_it() -> None:
    weights = torch.empty(1, 3, 5)  # nothing is known of it but its shape
    assert weights[GRID.clone() > 2].shape == (2, 5)


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    "unknown", [lambda: torch.empty(2), lambda: torch.rand(2), lambda: torch.ones(2) + torch.empty(2)]
)
def test_nothing_is_made_up(unknown: Callable[[], torch.Tensor]) -> None:
    with pytest.raises(DataDependentOutputException):
        unknown()[0].item()


@pytest.mark.usefixtures("fakes")
def test_what_is_written_over_with_something_unknown_is_forgotten() -> None:
    row = torch.zeros(4)
    view = row[:2]
    row[0] = 3
    assert view[0].item() == 3
    row.copy_(torch.empty(4))
    with pytest.raises(DataDependentOutputException):
        view[0].item()
