"""How a model is spoken to can be loaded without its weights, and is the same as with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import load_folder, save_folder

from finesight.models.formatter import Formatter
from finesight.models.image_formatter import ImageFormatter
from finesight.models.load import load_formatter
from finesight.models.loaded import Loaded
from finesight.recipe.model import LlavaModel
from finesight.schema import Example

TEXTS = ("what colour is it?", "red", "dark blue", "is it a square? yes or no", "how many things are there? seven")


def require_same(one: Formatter, other: Formatter, examples: tuple[Example, ...]) -> None:
    assert type(one) is type(other)
    assert one.end_ids == other.end_ids
    for example in examples:
        if example.images and not isinstance(one, ImageFormatter):
            continue
        first, second = (each.encode(example, answered=True) for each in (one, other))
        assert first.prefix_ids.tolist() == second.prefix_ids.tolist()
        assert first.branches[0].ids.tolist() == second.branches[0].ids.tolist()
        assert first.branches[0].labels.tolist() == second.branches[0].labels.tolist()
        if example.images:
            pixels = one.pixels(example.images), other.pixels(example.images)
            assert pixels[0] is not None and pixels[1] is not None
            assert torch.equal(pixels[0]["pixel_values"], pixels[1]["pixel_values"])


@pytest.mark.parametrize(
    ("vision", "image_size"),
    [("clip_vision_model", None), ("siglip_vision_model", None), ("siglip_vision_model", 48), (None, None)],
)
def test_of_parts(
    make_model: Callable[..., Loaded],
    make_spec: Callable[..., Any],
    examples: tuple[Example, ...],
    vision: str | None,
    image_size: int | None,
) -> None:
    changes = {"image_size": image_size} if image_size else {}
    formatter = load_formatter(make_spec(vision, **changes), data_root=Path(), texts=lambda: TEXTS * 20)
    require_same(formatter, make_model(vision, **changes).formatter, examples)


@pytest.mark.parametrize("image_size", [None, 48])
def test_of_a_checkpoint_whose_weights_are_not_there(
    make_model: Callable[..., Loaded], tmp_path: Path, examples: tuple[Example, ...], image_size: int | None
) -> None:
    folder = save_folder(make_model(), tmp_path / "llava")
    loaded = load_folder(folder, image_size=image_size)
    (folder / "model.safetensors").unlink()
    spec = LlavaModel(kind="llava", name_or_path="llava", image_size=image_size)
    require_same(load_formatter(spec, data_root=tmp_path), loaded.formatter, examples)
