"""Images kept on disk: what comes out is what the model would have computed, and nothing stale ever does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from finesight.branches.contexts import share_contexts
from finesight.branches.loss import learned_losses
from finesight.errors import UserError, WriteError
from finesight.evaluate.engine import Engine
from finesight.models import image_store
from finesight.models.image_costs import ImageCosts, measure_costs
from finesight.models.image_store import KeptKind, fill_store, open_store
from finesight.models.loaded import Loaded
from finesight.recipe.train import Train
from finesight.recipe.tune import Tune
from finesight.schema import Example, ImageSource
from finesight.train.batches import make_batch
from finesight.tune.prepare import prepare_model

KINDS: tuple[KeptKind, ...] = ("pixels", "features")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINESIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def loaded(make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]) -> Loaded:
    return enliven(make_model())


@pytest.fixture
def images(examples: tuple[Example, ...]) -> list[ImageSource]:
    return [image for example in examples for image in example.images]


@pytest.fixture
def kept(loaded: Loaded, images: list[ImageSource]) -> Iterator[Callable[[KeptKind], None]]:
    def keep(kind: KeptKind) -> None:
        store = open_store(loaded, kind)
        fill_store(store, loaded, images)
        loaded.formatter.kept = store  # type: ignore[attr-defined]

    yield keep
    loaded.formatter.kept = None  # type: ignore[attr-defined]


def losses_of(loaded: Loaded, examples: tuple[Example, ...]) -> torch.Tensor:
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    batch = make_batch(rows, loaded.formatter)
    return learned_losses(loaded.model, batch.layout, batch.pixels, loaded.model.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_the_pictures(
    kind: KeptKind, loaded: Loaded, examples: tuple[Example, ...], kept: Callable[[KeptKind], None]
) -> None:
    prepare_model(loaded, Tune.model_validate({"vision": "frozen", "projector": "full", "language": "full"}), Train())
    learning = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    plain = losses_of(loaded, examples)
    gradients = torch.autograd.grad(plain.sum(), learning, allow_unused=True)
    kept(kind)
    losses = losses_of(loaded, examples)
    assert torch.allclose(losses, plain, atol=1e-5)
    for one, same in zip(torch.autograd.grad(losses.sum(), learning, allow_unused=True), gradients, strict=True):
        assert (one is None) == (same is None)
        assert one is None or torch.allclose(one, same, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_pictures(
    kind: KeptKind, loaded: Loaded, examples: tuple[Example, ...], kept: Callable[[KeptKind], None]
) -> None:
    def answers(*, blank: bool) -> list[tuple[str, str]]:
        asked = [loaded.formatter.encode(example, answered=False) for example in examples]
        engine = Engine(loaded, 4096, without_context=blank)
        return sorted((one.id, one.text) for batch in engine.answer(asked, max_new_tokens=4) for one in batch)

    plain, blank = answers(blank=False), answers(blank=True)
    kept(kind)
    assert answers(blank=False) == plain
    assert answers(blank=True) == blank


def test_nothing_is_decoded_twice(loaded: Loaded, images: list[ImageSource], monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(loaded, "features")
    fill_store(store, loaded, images)
    monkeypatch.setattr(image_store, "prepare", None)  # calling it would fail
    fill_store(store, loaded, images)
    assert all(store.has(image) for image in images)


def test_other_weights_have_other_features_and_the_same_pixels(loaded: Loaded) -> None:
    before = {kind: open_store(loaded, kind).folder for kind in KINDS}
    with torch.no_grad():
        next(loaded.parts.parameters_of(loaded.model, "vision")).parameter.add_(1e-3)
    assert open_store(loaded, "features").folder != before["features"]
    assert open_store(loaded, "pixels").folder == before["pixels"]


def test_a_full_disk_is_noticed_before_anything_is_written(
    loaded: Loaded, images: list[ImageSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(loaded, "pixels")
    monkeypatch.setattr(image_store, "_SPARE_BYTES", 2**60)
    with pytest.raises(UserError, match="GiB free"):
        fill_store(store, loaded, images)
    assert not store.folder.exists()


def test_a_disk_that_fills_meanwhile_is_told_and_nothing_half_is_left(
    loaded: Loaded, images: list[ImageSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise SafetensorError("No space left on device (os error 28)")

    store = open_store(loaded, "pixels")
    monkeypatch.setattr(image_store, "save_file", write_half)
    with pytest.raises(WriteError, match="No space left on device"):
        fill_store(store, loaded, images)
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_what_is_fastest_is_kept() -> None:
    def costs(prepare: float, encode: float, pixels: float, features: float) -> ImageCosts:
        return ImageCosts(prepare, encode, {"pixels": pixels, "features": features}, {"pixels": 1, "features": 1})

    assert costs(5, 9, 1, 1).cheapest(features=True) == "features"
    assert costs(5, 9, 1, 1).cheapest(features=False) == "pixels"
    assert costs(5, 9, 6, 20).cheapest(features=True) is None


def test_costs_are_measured_and_leave_nothing_behind(
    loaded: Loaded, images: list[ImageSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))  # another disk than the store's
    costs = measure_costs(loaded, images)
    assert costs.encode_seconds > 0
    assert set(costs.kept_bytes) == set(KINDS)
    assert "KiB" in costs.words()
    assert not [path for path in (tmp_path / "cache" / "images").iterdir() if path.is_dir()]
