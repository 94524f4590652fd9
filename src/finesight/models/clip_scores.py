"""How well CLIP finds that a caption fits its image: CLIPScore, RefCLIPScore and CLIP's own logit.

CLIPScore and RefCLIPScore follow Hessel et al. 2021, https://github.com/jmhessel/clipscore; the published figures are
of openai/clip-vit-base-patch32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from finesight.errors import DataError

Values = NDArray[np.float64]
Item = TypeVar("Item")

PREFIX = "A photo depicts "
"""What stands before a caption and a reference in CLIPScore; not in the logit."""
WEIGHT = 2.5
BATCH_SIZE = 64


@dataclass(frozen=True)
class Clip:
    """A CLIP of transformers, with what prepares its images and texts."""

    model: Any
    """A `CLIPModel`."""
    image_processor: Any
    tokenizer: Any


@dataclass(frozen=True)
class ClipScores:
    """What CLIP says of captions, in their order; each is float[captions]."""

    clip_score: Values
    """2.5 max(cosine, 0), the cosine between the image and "A photo depicts " with the caption."""
    ref_clip_score: Values
    """The harmonic mean of that and of the best cosine with a reference; not a number where there is no reference."""
    clip_logit: Values
    """`logits_per_image`: the cosine between the image and the bare caption, times the model's own scale (100 for the
    published weights)."""


def score_captions(
    clip: Clip,
    images: Iterable[Image.Image],
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    batch_size: int = BATCH_SIZE,
) -> ClipScores:
    """Return the three scores of each caption for its image and references. Texts are cut at CLIP's length, 77 tokens.

    `images` may be opened one by one: no more than `batch_size` of them are held. Raises `DataError` when there are
    not equally many images, captions and references.
    """
    pictures = embed_images(clip, images, batch_size)
    if not len(pictures) == len(captions) == len(references):
        raise DataError(
            f"{len(pictures)} images for {len(captions)} captions with {len(references)} sets of references"
        )
    if not captions:
        return ClipScores(np.zeros(0), np.zeros(0), np.zeros(0))
    depicted = embed_texts(clip, [PREFIX + caption for caption in captions], batch_size)
    said_of = embed_texts(clip, [PREFIX + text for several in references for text in several], batch_size)
    ends = np.cumsum([len(several) for several in references])[:-1]
    own_references = np.split(said_of, ends)
    best = [(own @ caption).max(initial=-np.inf) for own, caption in zip(own_references, depicted, strict=True)]
    score = clip_score(_cosines(pictures, depicted))
    logit_scale = float(clip.model.logit_scale.detach().float().exp())
    return ClipScores(
        clip_score=score,
        ref_clip_score=ref_clip_score(score, np.where(np.isinf(best), np.nan, best)),
        clip_logit=logit_scale * _cosines(pictures, embed_texts(clip, captions, batch_size)),
    )


def clip_score(cosines: Values) -> Values:
    """Return CLIPScore of cosines between images and captions: 0 to 2.5."""
    return WEIGHT * np.maximum(cosines, 0.0)


def ref_clip_score(scores: Values, best_reference_cosines: Values) -> Values:
    """Return RefCLIPScore: the harmonic mean of CLIPScore and of the best cosine between caption and reference.

    0 where either is, as in the paper; the official code does not raise negative cosines of texts to 0.
    """
    likeness = np.maximum(best_reference_cosines, 0.0)
    total = scores + likeness
    return np.asarray(2 * scores * likeness / np.where(total == 0.0, 1.0, total))


def embed_images(clip: Clip, images: Iterable[Image.Image], batch_size: int = BATCH_SIZE) -> Values:
    """Return CLIP's embeddings of images, of length 1: float[images, width]."""
    rows = []
    for batch in _batches(images, batch_size):
        pixels = clip.image_processor(images=list(batch), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            embedded = clip.model.get_image_features(pixel_values=pixels.to(clip.model.device, clip.model.dtype))
        rows.append(_unit(embedded.pooler_output))
    return _joined(clip, rows)


def embed_texts(clip: Clip, texts: Sequence[str], batch_size: int = BATCH_SIZE) -> Values:
    """Return CLIP's embeddings of texts, of length 1, cut at its length in tokens: float[texts, width]."""
    length = clip.model.config.text_config.max_position_embeddings
    rows = []
    for batch in _batches(texts, batch_size):
        tokens = clip.tokenizer(list(batch), padding=True, truncation=True, max_length=length, return_tensors="pt")
        with torch.inference_mode():
            embedded = clip.model.get_text_features(
                input_ids=tokens["input_ids"].to(clip.model.device),
                attention_mask=tokens["attention_mask"].to(clip.model.device),
            )
        rows.append(_unit(embedded.pooler_output))
    return _joined(clip, rows)


def _unit(features: torch.Tensor) -> Values:
    exact = features.double()
    unit: Values = (exact / exact.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit


def _joined(clip: Clip, rows: Sequence[Values]) -> Values:
    return np.concatenate(rows) if rows else np.zeros((0, clip.model.config.projection_dim))


def _cosines(first: Values, second: Values) -> Values:
    return np.asarray((first * second).sum(axis=-1))


def _batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch
