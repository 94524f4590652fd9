"""Whether keeping images pays on this machine: measured on a few of them, before anything is kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from finesight.cache import cache_folder
from finesight.models.image_store import ImageStore, KeptKind, encode_images, prepare
from finesight.models.loaded import Loaded
from finesight.schema import ImageSource

SAMPLED_IMAGES = 16
_REPEATS = 2
"""The first time pays for what is loaded once; the best of several counts."""


@dataclass(frozen=True)
class ImageCosts:
    """Seconds and bytes an image, on average."""

    prepare_seconds: float
    """Decoding, resizing, normalising."""
    encode_seconds: float
    """Through the vision encoder, without gradients."""
    read_seconds: dict[KeptKind, float]
    """Reading what is kept."""
    kept_bytes: dict[KeptKind, int]

    def cheapest(self, *, features: bool) -> KeptKind | None:
        """Return what to keep, or None where nothing kept is faster; features only where they may be kept."""
        seconds: dict[KeptKind | None, float] = {
            None: self.prepare_seconds + self.encode_seconds,
            "pixels": self.read_seconds["pixels"] + self.encode_seconds,
        }
        if features:
            seconds["features"] = self.read_seconds["features"]
        return min(seconds, key=seconds.__getitem__)

    def words(self) -> str:
        """Return the measurements in words."""
        reading = ", ".join(
            f"reading {kind} {_milliseconds(self.read_seconds[kind])} ({self.kept_bytes[kind] / 2**10:,.0f} KiB)"
            for kind in self.read_seconds
        )
        prepared, encoded = _milliseconds(self.prepare_seconds), _milliseconds(self.encode_seconds)
        return f"an image: preparing {prepared}, encoding {encoded}, {reading}"


def measure_costs(loaded: Loaded, images: Sequence[ImageSource]) -> ImageCosts:
    """Return what the first few of `images` cost in each way. What is written for it is deleted again."""
    sample = images[:SAMPLED_IMAGES]
    root = cache_folder("images")
    pixels = prepare(loaded, sample, "pixels")
    read: dict[KeptKind, float] = {}
    size: dict[KeptKind, int] = {}
    kinds: tuple[KeptKind, ...] = ("pixels", "features")
    for kind in kinds:
        tensors = prepare(loaded, sample, kind)
        # On the disk of the store itself: the system's own temporary folder may be another, or none but memory.
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            store = ImageStore(kind, Path(folder))
            for image, tensor in zip(sample, tensors, strict=True):
                store.keep(image, tensor.clone())
            read[kind] = _seconds(partial(store.take, sample), len(sample))
        size[kind] = tensors[0].numel() * tensors.element_size()
    return ImageCosts(
        prepare_seconds=_seconds(lambda: prepare(loaded, sample, "pixels"), len(sample)),
        # Brought back, or a GPU would still be at work when the clock is stopped.
        encode_seconds=_seconds(lambda: encode_images(loaded, pixels).cpu(), len(sample)),
        read_seconds=read,
        kept_bytes=size,
    )


def _seconds(act: Callable[[], object], images: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    return min(once() for _ in range(_REPEATS)) / images


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
