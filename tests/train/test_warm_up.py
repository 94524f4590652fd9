"""A projector is warmed up alone and then tuned with the language model, as LLaVA-1.5's is, whichever parts meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_setup import stage_of, train_stage

from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.schema import Example, PartName

ENCODERS = ("clip_vision_model", "siglip_vision_model")
LANGUAGES = ("llama", "gemma", "gemma2", "phi", "qwen2")


def weights_of(loaded: Loaded) -> dict[str, torch.Tensor]:
    """Return a copy of every weight by its bare name, adapters left out."""
    return {p.name: p.parameter.detach().clone() for p in bare_parameters(loaded.model) if not p.is_adapter}


def changed_parts(loaded: Loaded, before: dict[str, torch.Tensor]) -> set[PartName | None]:
    now = weights_of(loaded)
    return {loaded.parts.part_of(name) for name, weight in before.items() if not torch.equal(weight, now[name])}


@pytest.mark.parametrize(("vision", "language"), list(itertools.product(ENCODERS, LANGUAGES)))
def test_a_projector_warms_up_and_then_learns_with_the_language_model(
    vision: str, language: str, make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model(vision, language)
    begun = weights_of(loaded)
    train_stage(loaded, examples, stage_of({"projector": "full"}, max_steps=2), tmp_path / "warm-up")
    assert changed_parts(loaded, begun) == {"projector"}
    warm = weights_of(loaded)
    jointly = {"projector": "full", "language": {"method": "lora", "r": 2}}
    train_stage(loaded, examples, stage_of(jointly, max_steps=2), tmp_path / "jointly")
    assert changed_parts(loaded, warm) == {"projector"}
    adapters = [p for p in bare_parameters(loaded.model) if p.is_adapter]
    assert {loaded.parts.part_of(p.name) for p in adapters} == {"language"}
    assert any(p.parameter.any() for p in adapters if ".lora_B." in p.name), "they begin as zeros"
