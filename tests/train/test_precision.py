"""Precision and memory: what is asked is what is computed, what is computed twice gives the same gradients."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from training_setup import FULL, contexts_of, new_run, stage_of, train_stage

from finesight.errors import Interrupted, UserError
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Recipe
from finesight.recipe.train import Optimizer
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example
from finesight.train.fit import fit
from finesight.train.machine import require_machine
from finesight.tune.prepare import prepare_model

LORA = {"method": "lora", "r": 2}
MIXTURES = {
    "lora over a frozen tower": {"language": LORA},
    "lora and a full projector": {"projector": "full", "language": LORA},
    "lora with dropout": {"language": {**LORA, "lora_dropout": 0.2}},
    "lora in the tower": {"vision": LORA, "language": LORA},
    "full": FULL,
}


FAMILIES = [("moondream", "2024"), ("moondream", "2025"), ("hf", "qwen2_5_vl"), ("hf", "smolvlm")]


def learned_weights(loaded: Loaded) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in loaded.model.parameters() if parameter.requires_grad]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


# Activations that are computed twice.


@pytest.mark.parametrize("tune", MIXTURES.values(), ids=MIXTURES)
def test_activations_computed_twice_give_the_same_steps(
    tune: dict[str, Any],
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
) -> None:
    assert_equal_steps(make_model, examples, tune, tmp_path)


@pytest.mark.parametrize("tune", [{"language": LORA}, {"vision": LORA, "language": LORA}], ids=["language", "tower"])
@pytest.mark.parametrize("family", FAMILIES, ids="-".join)
def test_so_they_do_in_every_family(
    family: tuple[str, str],
    tune: dict[str, Any],
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
    tmp_path: Path,
) -> None:
    assert_equal_steps(partial(make_model, *family), examples, tune, tmp_path)


def test_so_they_do_over_weights_of_4_bits(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    texts = tuple(replace(example, images=()) for example in examples)
    assert_equal_steps(partial(make_model, "nf4", "llama"), texts, {"language": LORA}, tmp_path)


def assert_equal_steps(
    make: Callable[[], Loaded], examples: tuple[Example, ...], tune: dict[str, Any], folder: Path
) -> None:
    """Train a model twice, once keeping activations: every layer is passed once more, and nothing else differs."""
    figures, weights, passes = [], [], []
    for twice in (False, True):
        loaded = make()
        counts = count_passes(loaded)
        stage = stage_of(tune, gradient_checkpointing=twice)
        torch.manual_seed(1)  # adapters are drawn
        run = train_stage(loaded, examples, stage, folder / str(twice))
        figures.append([(row["loss"], row.get("grad_norm")) for row in run.metrics()])
        weights.append(learned_weights(loaded))
        passes.append(counts)
    assert figures[0] == figures[1]
    assert same(*weights)
    assert passes[0] and passes[1] == {name: 2 * times for name, times in passes[0].items()}


def count_passes(loaded: Loaded) -> Counter[str]:
    """Count how often each layer of the language model is passed in training."""
    counts: Counter[str] = Counter()

    def count(name: str, module: torch.nn.Module, given: Any) -> None:
        counts[name] += module.training and torch.is_grad_enabled()

    for name, module in language_blocks(loaded):
        module.register_forward_pre_hook(partial(count, name))
    return counts


def language_blocks(loaded: Loaded) -> list[tuple[str, torch.nn.Module]]:
    """Return the feed-forward block of each layer of the language model, by its name."""
    names = [each.name for each in loaded.parts.parameters_of(loaded.model, "language")]
    return [
        (name, module)
        for name, module in loaded.model.named_modules()
        if name.endswith(".mlp") and any(own.startswith(f"{name}.") for own in names)
    ]


# Number formats.


@pytest.mark.parametrize("family", [("clip_vision_model", "llama"), *FAMILIES], ids="-".join)
def test_bfloat16_is_computed_in_over_float32_weights(
    family: tuple[str, str], make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    losses, formats = [], []
    for bf16 in (False, True):
        loaded, seen = make_model(*family), set()
        (_, block), *_ = language_blocks(loaded)
        block.register_forward_hook(
            lambda module, given, made, seen=seen: seen.add(made.dtype) if module.training else None
        )
        run = train_stage(loaded, examples, stage_of(FULL, bf16=bf16), tmp_path / str(bf16))
        losses.append([row["loss"] for row in run.metrics()])
        formats.append(seen)
        assert {weight.dtype for weight in learned_weights(loaded)} == {torch.float32}
    assert formats == [{torch.float32}, {torch.bfloat16}]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0] != losses[1]


def recipe_with(folder: Path, **train: Any) -> Recipe:
    content = new_run(folder).recipe.model_dump(mode="json", by_alias=True)
    return Recipe.model_validate({**content, "train": train})


def test_a_gpu_without_bfloat16_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    with pytest.raises(UserError, match="Old GPU does not compute in bfloat16") as caught:
        require_machine(recipe_with(tmp_path, bf16=True).each_stage())
    assert caught.value.hint == "train.fp16: true"
    require_machine(recipe_with(tmp_path, fp16=True).each_stage())


# Optimizers.


@pytest.mark.parametrize("optim", get_args(Optimizer))
def test_every_optimizer_learns_and_goes_on_from_a_checkpoint_bit_for_bit(
    optim: str, make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    if "paged" in optim and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    if "8bit" in optim and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    stage = stage_of({"projector": "full", "language": "full"}, optim=optim, max_steps=6, eval_steps=2)
    uninterrupted, whole = train(make_model(), examples, stage, new_run(tmp_path / "whole"))
    assert whole[0] > whole[-1], "it learns"

    stop, run = StopRequest(), new_run(tmp_path / "stopped")

    def stop_soon() -> dict[str, float]:
        stop.ask()
        return {}

    with pytest.raises(Interrupted):
        train(make_model(), examples, stage, run, evaluate=stop_soon, stop=stop)
    resumed, losses = train(make_model(), examples, stage, run)
    assert losses == whole
    assert same(resumed, uninterrupted)


def train(
    loaded: Loaded,
    examples: tuple[Example, ...],
    stage: Any,
    run: RunDir,
    evaluate: Callable[[], dict[str, float]] = dict,
    stop: StopRequest | None = None,
) -> tuple[list[torch.Tensor], list[float]]:
    """Train a stage, from its last checkpoint where there is one; return what was learned, and the losses."""
    prepare_model(loaded, stage.tune, stage.train)
    contexts = contexts_of(loaded, examples)
    fit(loaded, contexts, contexts, stage, run, evaluate=evaluate, max_tokens=4096, stop=stop or StopRequest())
    return learned_weights(loaded), [row["loss"] for row in run.metrics()]
