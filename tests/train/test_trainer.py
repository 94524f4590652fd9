"""A step's loss and gradient are those of its examples, however they are dealt; what is logged adds up."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_setup import (
    FULL,
    Captured,
    capture_trainer,
    contexts_of,
    of_two_sources,
    stage_of,
    step_of,
    train_stage,
)

from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.errors import FinesightError
from finesight.models.loaded import Loaded
from finesight.runtime import StopRequest
from finesight.schema import Example
from finesight.train import fit
from finesight.train.checkpoints import read_best
from finesight.train.checks.model import check_precision
from finesight.train.guards import Guards
from finesight.train.losses import LossSums
from finesight.train.trainer import BranchTrainer
from finesight.train.validation import validation_losses
from finesight.tune.prepare import prepare_model

BUDGETS = (1, 80, 130, 4096)
LORA = {"method": "lora", "r": 2}


def plain_loss(loaded: Loaded, examples: list[Example]) -> torch.Tensor:
    """Return the mean loss over the learned tokens of all examples, each in a row of its own."""
    losses = []
    for example in examples:
        single = loaded.formatter.encode(example, answered=True)
        layout = lay_out([single], padding_id=loaded.formatter.tokenizer.pad_token_id)
        pixels = loaded.formatter.pixels(single.images) if single.images else None
        losses.append(learned_losses(loaded.model, layout, pixels, loaded.model.dtype))
    return torch.cat(losses).mean()


def gradient(loaded: Loaded) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None])


def with_trainer(
    loaded: Loaded,
    examples: list[Example],
    stage: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[BranchTrainer], None],
) -> None:
    capture_trainer(monkeypatch, act)
    with pytest.raises(Captured):
        train_stage(loaded, examples, stage, folder)


# A step.


@pytest.mark.parametrize("tune", [FULL, {"projector": "full", "language": LORA}], ids=["full", "mixed"])
def test_loss_and_gradient_of_a_step_do_not_depend_on_how_it_is_dealt(
    tune: dict[str, Any],
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, drawn = make_model(), of_two_sources(examples)

    def compare(trainer: BranchTrainer) -> None:
        loss = plain_loss(loaded, drawn)
        loaded.model.zero_grad()
        loss.backward()
        expected, expected_loss, contexts = gradient(loaded), float(loss.detach()), contexts_of(loaded, drawn)
        dealt = set()
        for max_tokens in BUDGETS:
            step = step_of(contexts, loaded, max_tokens=max_tokens)
            dealt.add(tuple(batch.layout.input_ids.shape for batch in step.batches))
            loaded.model.zero_grad()
            assert float(trainer.training_step(loaded.model, {"step": step})) == pytest.approx(expected_loss, rel=1e-5)
            assert (gradient(loaded) - expected).norm() <= 1e-5 * expected.norm()
        assert len(dealt) == len(BUDGETS), "every budget is dealt in another way"

    with_trainer(loaded, drawn, stage_of(tune), tmp_path / "run", monkeypatch, compare)


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_the_gradients_of_all_ranks_add_up_to_that_of_one(
    ranks: int,
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, drawn = make_model(), list(examples)

    def compare(trainer: BranchTrainer) -> None:
        loaded.model.zero_grad()
        contexts = contexts_of(loaded, drawn)
        alone = float(trainer.training_step(loaded.model, {"step": step_of(contexts, loaded, max_tokens=4096)}))
        expected = gradient(loaded)
        loaded.model.zero_grad()
        shares = [step_of(contexts, loaded, max_tokens=4096, rank=rank, ranks=ranks) for rank in range(ranks)]
        assert all(share.batches or share.idle for share in shares), "a rank without a row keeps the others waiting"
        assert sum(not share.batches for share in shares) == max(0, ranks - len(contexts))
        # A share without a row has the loss 0; guards look at the sum of all processes', which here is none.
        monkeypatch.setattr(Guards, "has_loss", lambda *_: False)
        losses = [float(trainer.training_step(loaded.model, {"step": share})) for share in shares]
        assert sum(losses) == pytest.approx(alone, rel=1e-5)
        assert (gradient(loaded) - expected).norm() <= 1e-5 * expected.norm()

    with_trainer(loaded, drawn, stage_of(FULL), tmp_path / "run", monkeypatch, compare)


def test_a_whole_training_does_not_depend_on_the_token_budget(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    curves = []
    for max_tokens in (1, 4096):
        run = train_stage(make_model(), examples, stage_of(FULL), tmp_path / str(max_tokens), max_tokens=max_tokens)
        curves.append([row["loss"] for row in run.metrics()])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert curves[0][0] > curves[0][-1], "it learns"


def test_a_loss_that_is_not_a_number_stops_the_training(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    with torch.no_grad():
        loaded.model.model.multi_modal_projector.linear_1.bias[0] = torch.nan
    with pytest.raises(FinesightError, match="the loss is nan at step 1") as caught:
        train_stage(loaded, examples, stage_of(FULL), tmp_path / "run")
    assert "learning rate" in caught.value.hint


# What learns, and how fast.


def test_every_part_learns_at_its_own_rate_and_vectors_do_not_decay(
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = make_model()
    rates = {"vision": 1e-5, "projector": 1e-3, "language": 1e-4}
    stage = stage_of({"vision": LORA, "projector": "full", "language": "full"}, learning_rate=rates, weight_decay=0.1)

    def check(trainer: BranchTrainer) -> None:
        names = {id(parameter): name for name, parameter in loaded.model.named_parameters()}
        seen = []
        for group in trainer.create_optimizer().param_groups:
            assert group["lr"] == rates[group["part"]]
            for parameter in group["params"]:
                part = loaded.parts.part_of(names[id(parameter)].removeprefix("base_model.model."))
                assert part == group["part"]
                assert group["weight_decay"] == (0.1 if parameter.ndim >= 2 else 0.0)
                seen.append(id(parameter))
        assert len(seen) == len(set(seen))
        assert set(seen) == {id(p) for p in loaded.model.parameters() if p.requires_grad}

    with_trainer(loaded, list(examples), stage, tmp_path / "run", monkeypatch, check)


def test_the_learning_rates_of_all_parts_are_logged(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    stage = stage_of(
        {"projector": "full", "language": LORA},
        learning_rate={"projector": 1e-3, "language": 1e-4},
        lr_scheduler_type="linear",
        max_steps=4,
    )
    rows = [
        row for row in train_stage(make_model(), examples, stage, tmp_path / "run").metrics() if row["kind"] == "train"
    ]
    for row in rows:
        assert row["learning_rate"]["projector"] == pytest.approx(10 * row["learning_rate"]["language"])
    assert [row["learning_rate"]["projector"] for row in rows] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])


# What is checked, and what is chosen.


@pytest.mark.parametrize(
    ("dtype", "tune", "status"),
    [
        ("float32", FULL, "pass"),
        ("bfloat16", FULL, "warning"),
        ("float16", FULL, "failure"),
        ("float16", {"language": LORA}, "pass"),
    ],
)
def test_weights_that_learn_must_be_able_to_take_small_steps(
    dtype: str, tune: dict[str, Any], status: str, make_model: Callable[..., Loaded]
) -> None:
    loaded, stage = make_model(dtype=dtype), stage_of(tune)
    assert check_precision(loaded, stage).status == status
    prepare_model(loaded, stage.tune, stage.train)
    learning = {parameter.dtype for parameter in loaded.model.parameters() if parameter.requires_grad}
    assert (learning == {torch.float32}) == (status == "pass")


def test_a_loss_that_is_no_number_never_chooses_the_checkpoint(
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, factors = fit.validation_losses, iter((math.nan, 1.0, math.nan))

    def spoilt(*arguments: Any, **options: Any) -> LossSums:
        sums, factor = real(*arguments, **options), next(factors)
        return LossSums({key: value * factor for key, value in sums.sums.items()}, sums.tokens)

    monkeypatch.setattr(fit, "validation_losses", spoilt)
    run = train_stage(make_model(), examples, stage_of(FULL, eval_steps=1), tmp_path / "run")
    best = read_best(run.checkpoints("tune"))
    assert best is not None
    assert best.step == 2


# What is logged.


def test_a_line_of_the_log_holds_the_losses_of_its_own_steps(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    drawn = of_two_sources(examples)
    stage = stage_of(FULL, global_batch_size=len(drawn), max_steps=2)
    loaded = make_model()
    before = float(plain_loss(loaded, drawn).detach())
    first, second = (
        row for row in train_stage(loaded, drawn, stage, tmp_path / "run").metrics() if row["kind"] == "train"
    )
    assert first["loss"] == pytest.approx(before, rel=1e-5)
    assert second["loss"] < first["loss"]
    for row in (first, second):
        assert row["examples"] == len(drawn)
        assert row["learned_tokens"] == sum(context.learned_tokens for context in contexts_of(loaded, drawn))
        assert row["tokens"] == sum(context.tokens for context in contexts_of(loaded, drawn))
        assert set(row["loss_by_source"]) == {"drawn", "general"}
        assert set(row["loss_by_role"]) == {"train", "replay"}
        assert math.isfinite(row["grad_norm"])


@pytest.mark.parametrize("max_tokens", BUDGETS)
def test_the_validation_loss_is_the_plain_mean_over_tokens(
    max_tokens: int, make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    loaded, drawn = make_model(), of_two_sources(examples)
    sums = validation_losses(loaded, contexts_of(loaded, drawn), max_tokens=max_tokens, stop=StopRequest())
    with torch.no_grad():
        assert sums.mean() == pytest.approx(float(plain_loss(loaded, drawn)), rel=1e-5)
        for role in ("train", "replay"):
            own = [example for example in drawn if example.role == role]
            assert sums.mean(role=role) == pytest.approx(float(plain_loss(loaded, own)), rel=1e-5)
        for source in ("drawn", "general"):
            own = [example for example in drawn if example.source == source]
            assert sums.describe()["loss_by_source"][source] == pytest.approx(float(plain_loss(loaded, own)), rel=1e-5)


def test_loss_sums_weigh_tokens_not_batches(examples: tuple[Example, ...]) -> None:
    learned, replayed = of_two_sources(examples)[1:3]
    sums = LossSums()
    sums.add(torch.tensor([1.0, 2.0, 6.0]), ((learned, 2), (replayed, 1)))
    sums.add(torch.tensor([3.0]), ((learned, 1),))
    assert sums.mean() == 3.0
    assert sums.describe() == {
        "loss": 3.0,
        "loss_by_source": {"drawn": 2.0, "general": 6.0},
        "loss_by_role": {"replay": 6.0, "train": 2.0},
        "learned_tokens": 4,
    }
    assert math.isnan(sums.mean(role="held_out")), "no token is no loss of 0"


def test_loss_sums_refuse_losses_that_nobody_owns(examples: tuple[Example, ...]) -> None:
    with pytest.raises(RuntimeError):
        LossSums().add(torch.tensor([1.0, 2.0]), ((examples[0], 1),))
