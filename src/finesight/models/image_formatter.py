"""From pictures to tokens and pixels, for families whose images are placeholder tokens in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase

from finesight.errors import DataError
from finesight.models.chat import ChatFormat
from finesight.models.formatter import Formatter, Marked
from finesight.models.pixels import Pixels
from finesight.schema import Example, ImageSource


@dataclass(frozen=True)
class ImageGeometry:
    """What the vision encoder takes and gives."""

    size: int
    """Side of its input in pixels."""
    features: int
    """Features it gives for an image: that many image tokens stand in the text."""


def open_image(image: ImageSource) -> Image.Image:
    """Return an image decoded. Raises `DataError` where it cannot be."""
    try:
        return image.open()
    except OSError as error:
        raise DataError(f"{image.name}: cannot be decoded ({error})", hint="run `finesight check`") from error


class KeptImages(Protocol):
    """Images that were prepared before."""

    def take(self, images: Sequence[ImageSource]) -> Pixels:
        """Return what is kept of images, in their order."""
        ...


class ImageFormatter(Formatter):
    """A family's tokenizer, chat template and image processor as one."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: Any,
        chat: ChatFormat,
        *,
        image_token_id: int,
        geometry: ImageGeometry,
        system_prompt: str | None,
    ) -> None:
        super().__init__(tokenizer, chat, system_prompt=system_prompt)
        self.image_processor = image_processor
        self.image_token_id = image_token_id
        self.geometry = geometry
        self.kept: KeptImages | None = None
        """Where images are kept as the model takes them."""

    @property
    def placeholder_id(self) -> int:
        """The image token."""
        return self.image_token_id

    def pixels(self, images: Sequence[ImageSource], *, blank: bool = False) -> Pixels | None:
        """Return the images as the vision encoder takes them; None for no images.

        They are `pixel_values`, float[images, 3, size, size]. With `blank`, as many without content. Where images are
        kept, what is kept of them: pixels, or the encoder's features. Raises `DataError` when one cannot be decoded.
        """
        if not images:
            return None
        if blank:
            return {"pixel_values": self.blank_pixels(len(images))}
        return self.kept.take(images) if self.kept else {"pixel_values": self.decode_images(images)}

    def decode_images(self, images: Sequence[ImageSource]) -> torch.Tensor:
        """Return the images as the vision encoder takes them, from their files: float[images, 3, size, size].

        Raises `DataError` when one cannot be decoded.
        """
        opened = [open_image(image) for image in images]
        pixels: torch.Tensor = self.image_processor(images=opened, return_tensors="pt")["pixel_values"]
        return pixels

    def blank_pixels(self, images: int) -> torch.Tensor:
        """Return so many images without content, the mean of what the encoder was trained on: float[images, 3, …]."""
        return torch.zeros(images, 3, self.geometry.size, self.geometry.size)

    def image_tokens(self, image: ImageSource) -> int:
        """Return how many image tokens stand for an image: for all alike."""
        return self.geometry.features

    def image_settings(self) -> dict[str, Any]:
        """Return the image processor's settings."""
        return dict(self.image_processor.to_dict())

    def save_image_processor(self, folder: Path) -> None:
        """Write what prepares images."""
        self.image_processor.save_pretrained(folder)

    def _place_images(self, example: Example, marked: Marked) -> Marked:
        """Repeat each image token once for every feature of the image; the context ends behind the last of them.

        Raises `DataError` when the text itself holds an image token.
        """
        places = np.flatnonzero(marked.ids == self.image_token_id)
        if len(places) != len(example.images):
            raise DataError(
                f"{example.id}: {len(places)} image tokens in the text for {len(example.images)} images",
                hint="remove the image token from the text; the template places it",
            )
        cut = max(marked.context_tokens, int(places[-1]) + 1) if len(places) else marked.context_tokens
        repeats = np.ones(len(marked.ids), dtype=np.int64)
        repeats[places] = self.geometry.features
        return Marked(np.repeat(marked.ids, repeats), np.repeat(marked.labels, repeats), int(repeats[:cut].sum()))
