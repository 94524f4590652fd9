"""Muon and AdamW as one optimizer: each parameter stepped by one of them, schedules and resumption included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_setup import FULL, stage_of, train_stage

from finesight.models.loaded import Loaded
from finesight.recipe.train import Train
from finesight.schema import Example
from finesight.train.muon import MuonWithAdamW, embeddings_of, is_muons

BETAS = (0.9, 0.99)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.wide = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.lm_head = nn.Linear(6, 7, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.lm_head(self.norm(self.wide(self.embed(ids)).tanh()))
        return scores


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small()


def both(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    embeddings = embeddings_of(model)
    parameters = list(model.parameters())
    return (
        [parameter for parameter in parameters if is_muons(parameter, embeddings)],
        [parameter for parameter in parameters if not is_muons(parameter, embeddings)],
    )


def muon_of(model: nn.Module, rate: float = 0.01) -> MuonWithAdamW:
    matrices, others = both(model)
    groups = [[{"params": own, "lr": rate, "weight_decay": 0.1}] for own in (matrices, others)]
    return MuonWithAdamW(groups[0], groups[1], betas=BETAS, eps=1e-8)


def take_steps(model: nn.Module, optimizers: list[torch.optim.Optimizer], seeds: range) -> None:
    for seed in seeds:
        ids = torch.randint(7, (5,), generator=torch.Generator().manual_seed(seed))
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(ids), ids.flip(0)))
        for optimizer in optimizers:
            optimizer.step()


def test_only_what_maps_features_to_features_is_muons(model: Small) -> None:
    matrices, others = both(model)
    assert matrices == [model.wide.weight]
    assert len(others) == 5


def test_it_steps_as_torchs_own_two_do(model: Small) -> None:
    other = copy.deepcopy(model)
    matrices, others = both(other)
    take_steps(model, [muon_of(model)], range(4))
    separate = [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.01, weight_decay=0.1, betas=BETAS, eps=1e-8),
    ]
    take_steps(other, separate, range(4))
    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)


def test_a_schedule_reaches_both(model: Small) -> None:
    optimizer = muon_of(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    take_steps(model, [optimizer], range(1))
    schedule.step()
    before = [parameter.clone() for parameter in model.parameters()]
    take_steps(model, [optimizer], range(1, 2))
    assert all(torch.equal(one, same) for one, same in zip(before, model.parameters(), strict=True))


def test_it_goes_on_from_its_state(model: Small, tmp_path: Path) -> None:
    whole = copy.deepcopy(model)
    take_steps(whole, [muon_of(whole)], range(6))
    first = muon_of(model)
    take_steps(model, [first], range(3))
    torch.save(first.state_dict(), tmp_path / "optimizer.pt")
    second = muon_of(model, rate=0.5)  # the state brings its own rates
    second.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    take_steps(model, [second], range(3, 6))
    for one, same in zip(whole.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, same)


def test_a_stage_learns_by_muon(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    stage = stage_of(FULL, optim="muon", adamw_learning_rate=5e-4, max_steps=8, lr_scheduler_type="constant")
    run = train_stage(make_model(), examples, stage, tmp_path / "run")
    losses = list(_losses(run.metrics()))
    assert losses[-1] < losses[0]


def test_its_second_rate_is_refused_elsewhere() -> None:
    with pytest.raises(ValueError, match="belongs to optim: muon"):
        Train(adamw_learning_rate=1e-3)


def _losses(rows: Iterable[dict[str, Any]]) -> Iterator[float]:
    for row in rows:
        if row["kind"] == "train":
            yield row["loss"]
