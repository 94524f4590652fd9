"""Images as the model takes them, kept on disk: prepared pixels, or what a frozen vision encoder makes of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from finesight.cache import cache_folder
from finesight.errors import UserError, WriteError
from finesight.models.fingerprint import tensor_bytes
from finesight.models.image_formatter import ImageFormatter
from finesight.models.loaded import Loaded
from finesight.models.moondream.config import MoondreamConfig
from finesight.models.pixels import FEATURES, Pixels
from finesight.runtime import follow, say
from finesight.schema import ImageSource
from finesight.whole_files import written_whole

KeptKind = Literal["pixels", "features"]
"""`pixels`: decoded, resized, normalised. `features`: what the vision encoder hands to the projector."""
_TENSOR = "image"
_IMAGES_AT_ONCE = 8
_SPARE_BYTES = 2**30


@dataclass(frozen=True)
class ImageStore:
    """A folder of tensors, one an image, named after the image's content."""

    kind: KeptKind
    folder: Path
    """Named after everything that decides the tensors: the preparation, and the encoder's weights for features."""

    def take(self, images: Sequence[ImageSource]) -> Pixels:
        """Return what is kept of images, all of which are."""
        tensors = torch.stack([load_file(self._file(image))[_TENSOR] for image in images])
        return {"pixel_values" if self.kind == "pixels" else FEATURES: tensors}

    def has(self, image: ImageSource) -> bool:
        """Return whether the image is kept, whole."""
        return self._file(image).is_file()

    def keep(self, image: ImageSource, tensor: torch.Tensor) -> None:
        """Write an image's tensor, whole or not at all. Raises `WriteError` when it cannot be written."""
        file = self._file(image)
        try:
            with written_whole(file) as partial:
                save_file({_TENSOR: tensor.contiguous()}, partial)
        except SafetensorError as error:
            raise WriteError(f"{file}: cannot be written ({error})", hint="is the disk full?") from error

    def _file(self, image: ImageSource) -> Path:
        content = image.content_hash()
        return self.folder / content[:2] / f"{content}.safetensors"


def open_store(loaded: Loaded, kind: KeptKind) -> ImageStore:
    """Return the store for the model, which sees images, as it is now."""
    assert isinstance(loaded.formatter, ImageFormatter)
    return ImageStore(kind, cache_folder("images", f"{kind}-{_fingerprint(loaded, loaded.formatter, kind)[:16]}"))


def fill_store(store: ImageStore, loaded: Loaded, images: Iterable[ImageSource]) -> None:
    """Keep every image that is not kept yet, and say how much that is. Goes on where an earlier start stopped.

    Raises `UserError` when the disk has no room for them all, before anything is written, and `DataError` for an image
    that cannot be decoded.
    """
    missing = list({image.content_hash(): image for image in images if not store.has(image)}.values())
    if not missing:
        return
    size = image_bytes(loaded, missing[0], store.kind) * len(missing)
    require_room(store.folder, size, len(missing))
    say(f"{store.kind} of {len(missing):,} images are kept: {size / 2**20:,.1f} MiB")
    batches = [missing[start : start + _IMAGES_AT_ONCE] for start in range(0, len(missing), _IMAGES_AT_ONCE)]
    for batch in follow(batches, f"keeping {store.kind} of {len(missing):,} images", len(batches)):
        for image, tensor in zip(batch, prepare(loaded, batch, store.kind), strict=True):
            store.keep(image, tensor.clone())


def prepare(loaded: Loaded, images: Sequence[ImageSource], kind: KeptKind) -> torch.Tensor:
    """Return what a store keeps of images, computed anew, on the CPU."""
    assert isinstance(loaded.formatter, ImageFormatter)
    pixels = loaded.formatter.decode_images(images)
    return pixels if kind == "pixels" else encode_images(loaded, pixels).cpu()


@torch.inference_mode()
def encode_images(loaded: Loaded, pixels: torch.Tensor) -> torch.Tensor:
    """Return what the vision encoder hands to the projector: float[images, features, hidden].

    The layer and the features are the configuration's own, as `LlavaModel.get_image_features` takes them.
    """
    config = loaded.model.config
    encoder = loaded.module(loaded.parts.prefixes["vision"][0])
    outputs = encoder(pixels.to(loaded.device, loaded.model.dtype), output_hidden_states=True)
    if isinstance(config, MoondreamConfig):
        last: torch.Tensor = outputs.last_hidden_state
        return last
    features: torch.Tensor = outputs.hidden_states[config.vision_feature_layer]
    return features[:, 1:] if config.vision_feature_select_strategy == "default" else features


def image_bytes(loaded: Loaded, image: ImageSource, kind: KeptKind) -> int:
    """Return how many bytes an image takes in a store, found by preparing one."""
    one = prepare(loaded, [image], kind)
    return one.numel() * one.element_size()


def require_room(folder: Path, wanted: int, images: int) -> None:
    """Raise `UserError` when the disk of `folder` has no room for so many bytes and a gibibyte to spare."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if wanted + _SPARE_BYTES > free:
        raise UserError(
            f"keeping {images:,} images takes {wanted / 2**30:.1f} GiB, and the disk of {there} has "
            f"{free / 2**30:.1f} GiB free",
            hint="set FINESIGHT_CACHE to a folder on a larger disk, or leave --keep-images out",
        )


def _fingerprint(loaded: Loaded, formatter: ImageFormatter, kind: KeptKind) -> str:
    """Return a hash of everything that decides what is kept of an image, beside the image."""
    decisive = hashlib.sha256(json.dumps(formatter.image_settings(), sort_keys=True, default=str).encode())
    if kind == "features":
        config = loaded.model.config
        decisive.update(json.dumps(config.vision_config.to_dict(), sort_keys=True, default=str).encode())
        chosen: tuple[Any, ...] = (str(loaded.model.dtype),)
        if not isinstance(config, MoondreamConfig):
            chosen = (config.vision_feature_layer, config.vision_feature_select_strategy, *chosen)
        decisive.update(repr(chosen).encode())
        for parameter in loaded.parts.parameters_of(loaded.model, "vision"):
            decisive.update(parameter.name.encode())
            decisive.update(tensor_bytes(parameter.parameter))
    return decisive.hexdigest()
