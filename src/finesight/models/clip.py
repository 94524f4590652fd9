"""A CLIP of transformers: loading it, and what it makes of pictures and texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, CLIPModel

from finesight.errors import ModelError
from finesight.models.fingerprint import fingerprint_weights, hash_json
from finesight.models.load import choose_device, silence_libraries
from finesight.models.location import Location, locate
from finesight.models.tokenizers import first_line, load_tokenizer
from finesight.models.weights import load_weights
from finesight.schema import Instrument

Values = NDArray[np.float64]
Item = TypeVar("Item")

BATCH_SIZE = 64
_WITHOUT_NETWORK = "without a network name a folder that holds a CLIP: clip.name_or_path in a recipe, or --clip FOLDER"


@dataclass(frozen=True)
class Clip:
    """A CLIP, with what prepares its images and texts."""

    model: Any
    """A `CLIPModel`."""
    image_processor: Any
    tokenizer: Any
    instrument: Instrument

    @property
    def most_tokens(self) -> int:
        """How many tokens of a text it reads, begin and end included: 77 in published ones."""
        return int(self.model.config.text_config.max_position_embeddings)


def load_clip(name_or_path: str, revision: str | None, data_root: Path) -> Clip:
    """Return a CLIP in float32, on the CPU: `on_fastest_device` moves it while it works.

    Raises `ModelError` where there is none, or where it is another kind of model.
    """
    silence_libraries()
    location = locate(name_or_path, revision, data_root)
    _require_clip(location)
    # Checkpoints of old keep the numbers of positions as tensors.
    model = load_weights(CLIPModel, location, may_hold_more=True, dtype=torch.float32)
    image_processor = _load_image_processor(location)
    weights = _fingerprint(model, image_processor)
    tokenizer = load_tokenizer(location.name_or_path, location.revision)
    return Clip(model.eval(), image_processor, tokenizer, Instrument(name_or_path, weights))


@contextmanager
def on_fastest_device(clip: Clip) -> Iterator[None]:
    """Let a CLIP work on the GPU where there is one; afterwards the memory is another's again."""
    clip.model.to(choose_device())
    try:
        yield
    finally:
        clip.model.to("cpu")


def embed_images(clip: Clip, images: Iterable[Image.Image], batch_size: int = BATCH_SIZE) -> Values:
    """Return CLIP's embeddings of images, of length 1: float[images, width].

    `images` may be opened one by one: no more than `batch_size` of them are held.
    """
    rows = []
    for batch in _batches(images, batch_size):
        pixels = clip.image_processor(images=list(batch), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            embedded = clip.model.get_image_features(pixel_values=pixels.to(clip.model.device, clip.model.dtype))
        rows.append(_unit(embedded.pooler_output))
    return _joined(clip, rows)


def embed_texts(clip: Clip, texts: Sequence[str], batch_size: int = BATCH_SIZE) -> Values:
    """Return CLIP's embeddings of texts, of length 1, cut at its length in tokens: float[texts, width]."""
    rows = []
    for batch in _batches(texts, batch_size):
        tokens = clip.tokenizer(
            list(batch), padding=True, truncation=True, max_length=clip.most_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            embedded = clip.model.get_text_features(
                input_ids=tokens["input_ids"].to(clip.model.device),
                attention_mask=tokens["attention_mask"].to(clip.model.device),
            )
        rows.append(_unit(embedded.pooler_output))
    return _joined(clip, rows)


def are_cut(clip: Clip, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts have more tokens than CLIP reads: bool[texts]."""
    if not texts:
        return np.zeros(0, dtype=np.bool_)
    return np.array([len(ids) > clip.most_tokens for ids in clip.tokenizer(list(texts))["input_ids"]])


def _require_clip(location: Location) -> None:
    try:
        config = AutoConfig.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        hint = "a folder needs config.json" if location.is_folder else _WITHOUT_NETWORK
        raise ModelError(f"{location}: no CLIP can be found there ({first_line(error)})", hint=hint) from error
    if config.model_type != "clip":
        raise ModelError(
            f"{location}: no CLIP, but {config.model_type}",
            hint="CLIP scores are of a whole CLIP, both halves of it, as openai/clip-vit-base-patch32",
        )


def _load_image_processor(location: Location) -> Any:
    try:
        return AutoImageProcessor.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no image processor ({first_line(error)})", hint="a CLIP needs preprocessor_config.json"
        ) from error


def _fingerprint(model: CLIPModel, image_processor: Any) -> str:
    """Return a short hash of what decides a CLIP's values: equal wherever it lies, and whatever it is called."""
    # Which class prepares images follows from the libraries that are installed.
    settings = {name: value for name, value in image_processor.to_dict().items() if not name.endswith("_type")}
    return hash_json([fingerprint_weights(model), settings])[:16]


def _unit(features: torch.Tensor) -> Values:
    exact = features.double()
    unit: Values = (exact / exact.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit


def _joined(clip: Clip, rows: Sequence[Values]) -> Values:
    return np.concatenate(rows) if rows else np.zeros((0, clip.model.config.projection_dim))


def _batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch
