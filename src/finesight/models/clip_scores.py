"""How well CLIP finds that a caption fits its image: CLIPScore, RefCLIPScore and CLIP's own logit.

CLIPScore and RefCLIPScore follow Hessel et al. 2021, https://github.com/jmhessel/clipscore; the published figures are
of openai/clip-vit-base-patch32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finesight.errors import DataError
from finesight.models.clip import BATCH_SIZE, Clip, Values, are_cut, embed_images, embed_texts
from finesight.schema import ImageSource

PREFIX = "A photo depicts "
"""What stands before a caption and a reference in CLIPScore; not in the logit."""
WEIGHT = 2.5


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
    is_cut: NDArray[np.bool_]
    """Whether a caption, with what stands before it, is longer than CLIP reads: bool[captions]."""


@dataclass(frozen=True)
class CaptionScorer:
    """Scores captions. Images and texts are embedded once, however many captions they are scored with."""

    clip: Clip
    batch_size: int = BATCH_SIZE
    _images: dict[str, Values] = field(default_factory=dict, init=False, repr=False)
    """By content hash."""
    _texts: dict[str, Values] = field(default_factory=dict, init=False, repr=False)

    def score(
        self, images: Sequence[ImageSource], captions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> ClipScores:
        """Return the three scores of each caption for its image and references. Texts are cut at CLIP's length.

        No more than `batch_size` images are open at once. Raises `DataError` when there are not equally many images,
        captions and references, and `OSError` for an image that cannot be opened.
        """
        if not len(images) == len(captions) == len(references):
            raise DataError(
                f"{len(images)} images for {len(captions)} captions with {len(references)} sets of references"
            )
        if not captions:
            return ClipScores(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.bool_))
        pictures, depicted = self._of_images(images), self._of_texts([PREFIX + caption for caption in captions])
        self._embed_new(PREFIX + text for several in references for text in several)
        best = [
            (self._of_texts([PREFIX + text for text in own]) @ caption).max() if own else np.nan
            for own, caption in zip(references, depicted, strict=True)
        ]
        score = clip_score(_cosines(pictures, depicted))
        logit_scale = float(self.clip.model.logit_scale.detach().float().exp())
        return ClipScores(
            clip_score=score,
            ref_clip_score=ref_clip_score(score, np.array(best)),
            clip_logit=logit_scale * _cosines(pictures, self._of_texts(captions)),
            is_cut=are_cut(self.clip, [PREFIX + caption for caption in captions]),
        )

    def _of_images(self, images: Sequence[ImageSource]) -> Values:
        new = {image.content_hash(): image for image in images if image.content_hash() not in self._images}
        embedded = embed_images(self.clip, (image.open() for image in new.values()), self.batch_size)
        self._images.update(zip(new, embedded, strict=True))
        return np.stack([self._images[image.content_hash()] for image in images])

    def _of_texts(self, texts: Sequence[str]) -> Values:
        self._embed_new(texts)
        return np.stack([self._texts[text] for text in texts])

    def _embed_new(self, texts: Iterable[str]) -> None:
        new = list(dict.fromkeys(text for text in texts if text not in self._texts))
        self._texts.update(zip(new, embed_texts(self.clip, new, self.batch_size), strict=True))


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


def _cosines(first: Values, second: Values) -> Values:
    return np.asarray((first * second).sum(axis=-1))
