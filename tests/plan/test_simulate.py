"""What a step holds, on fake tensors, against what it holds on real ones; and the parts of it that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finesight.branches.contexts import share_contexts
from finesight.branches.loss import learned_losses
from finesight.models.load import load_model
from finesight.plan.blueprint import Device
from finesight.plan.optimizers import planned_optimizer
from finesight.plan.simulate import Simulated, gradient_of, simulate
from finesight.plan.workload import Largest
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.train.batches import RowBatch, make_batch
from finesight.train.memory import MemoryMeter
from finesight.tune.prepare import prepare_model

FULL = {"vision": "full", "projector": "full", "language": "full"}
LORA = {"language": {"method": "lora", "r": 4}}
TEXTS = ("what colour is it?", "red", "dark blue", "is it a square? yes or no", "how many things are there? seven")


def stage_of(tune: dict[str, Any], **train: Any) -> Stage:
    return Stage.model_validate({"tune": tune, "train": train})


@pytest.fixture(scope="module")
def spec(make_spec: Callable[..., Any]) -> Any:
    return make_spec(dtype="float32")


@pytest.fixture(scope="module")
def batch(spec: Any, examples: tuple[Any, ...]) -> RowBatch:
    """All examples that show a picture, as one batch of rows."""
    formatter = load_model(spec, data_root=Path(), texts=lambda: TEXTS * 20).formatter
    shown = [formatter.encode(example, answered=True) for example in examples if example.images]
    return make_batch(share_contexts(shown), formatter)


@pytest.fixture
def plan(spec: Any, batch: RowBatch) -> Callable[..., Simulated]:
    def give(stage: Stage, *, batches: int = 1, device: Device = "cpu", **changes: Any) -> Simulated:
        changed = spec.model_copy(update=changes)
        return simulate(changed, stage, Largest((batch,), batches, batch, 3), data_root=Path(), device=device)

    return give


@pytest.mark.parametrize("tune", [FULL, LORA])
def test_fake_tensors_hold_what_real_ones_do(
    spec: Any, batch: RowBatch, plan: Callable[..., Simulated], tune: dict[str, Any]
) -> None:
    stage = stage_of(tune, optim="sgd")
    loaded = load_model(spec, data_root=Path(), texts=lambda: TEXTS * 20)
    prepare_model(loaded, stage.tune, stage.train)
    loaded.model.train()
    with MemoryMeter() as meter:
        for held in (*loaded.model.parameters(), *loaded.model.buffers()):
            meter.count(held, "weights")
        learned_losses(loaded.model, batch.layout, batch.pixels, torch.float32).sum().backward()
    planned = plan(stage).training.bytes
    # The plan also holds the rows themselves, which were made before this meter began.
    assert meter.peak.bytes == pytest.approx(planned, rel=0.02)


def test_a_step_that_is_known_in_bytes(plan: Callable[..., Simulated]) -> None:
    full = plan(stage_of(FULL, optim="adamw_torch"))
    learning = full.learning * 4
    assert full.gradients == learning
    # Two numbers for each weight, and the count of steps of each tensor.
    assert full.optimizer == pytest.approx(2 * learning, rel=0.01)
    lora = plan(stage_of(LORA))
    assert lora.training.bytes_by_cause["adapters"] == lora.gradients == lora.learning * 4
    assert lora.parameters - lora.learning == full.parameters


@pytest.mark.parametrize(
    ("optimizer", "bytes_a_weight"),
    [("adamw_torch", 8), ("adamw_torch_fused", 8), ("sgd", 0), ("muon", (4, 8)), ("adamw_8bit", (2, 8)),
     ("paged_adamw_8bit", (2, 8)), ("adafactor", (0, 4))],
)  # fmt: skip
def test_every_optimizer_keeps_its_states(
    plan: Callable[..., Simulated], optimizer: str, bytes_a_weight: int | tuple[int, int]
) -> None:
    found = plan(stage_of(FULL, optim=optimizer))
    low, high = bytes_a_weight if isinstance(bytes_a_weight, tuple) else (bytes_a_weight, bytes_a_weight)
    assert low * found.learning <= found.optimizer <= high * found.learning * 1.01
    assert found.optimizer or optimizer == "sgd"


def test_checkpointing_holds_less_and_computes_more(plan: Callable[..., Simulated]) -> None:
    plain, checkpointed = plan(stage_of(FULL)), plan(stage_of(FULL, gradient_checkpointing=True))
    assert checkpointed.training.bytes < plain.training.bytes
    assert 1.1 < checkpointed.flops / plain.flops < 1.5


def test_gradients_stand_beside_the_second_batch_of_a_step(plan: Callable[..., Simulated]) -> None:
    one, two = plan(stage_of(FULL, optim="sgd")), plan(stage_of(FULL, optim="sgd"), batches=5)
    assert one.training.bytes < two.training.bytes <= one.training.bytes + one.gradients
    assert two.flops == one.flops


@pytest.mark.parametrize(("device", "at_once"), [("cuda", 4), ("cpu", 3)])
def test_gpus_step_all_parameters_together(device: Device, at_once: int) -> None:
    # On a CPU one after another, with three numbers for each weight of the one; on a GPU one for each weight of all.
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(4)))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = planned_optimizer(model, Train(), device)
    optimizer.step()
    with MemoryMeter() as meter:
        for state in optimizer.state.values():
            for held in state.values():
                meter.count(held, "optimizer")
        for parameter in model.parameters():
            meter.count(parameter, "weights")
            meter.count(gradient_of(parameter), "gradients")
        meter.restart()
        before = meter.peak.bytes
        optimizer.step()
    assert meter.peak.bytes - before == pytest.approx(at_once * 64 * 64 * 4, rel=0.01)


def test_weights_of_automatic_format_are_halved_on_a_gpu(plan: Callable[..., Simulated]) -> None:
    on_gpu = plan(stage_of(LORA), device="cuda", dtype="auto")
    on_cpu = plan(stage_of(LORA), device="cpu", dtype="auto")
    assert on_gpu.training.bytes_by_cause["weights"] == pytest.approx(
        on_cpu.training.bytes_by_cause["weights"] / 2, rel=0.01
    )
    # peft keeps adapters in float32.
    assert on_gpu.training.bytes_by_cause["adapters"] == on_cpu.training.bytes_by_cause["adapters"]


def test_answers_are_written_beside_their_keys_and_values(plan: Callable[..., Simulated], batch: RowBatch) -> None:
    rows, tokens = batch.layout.input_ids.shape
    layers, key_heads, head, number = 2, 2, 12, 4
    cache = 2 * layers * rows * tokens * key_heads * head * number
    assert plan(stage_of(LORA)).answering.bytes_by_cause["answer cache"] == cache
