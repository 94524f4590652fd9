"""From pictures to tokens and pixels, for families whose processor expands its image tokens by each picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase

from finesight.errors import DataError, ModelError
from finesight.models.blank_image import BlankImage
from finesight.models.chat import ChatFormat, Conversation
from finesight.models.encoded import UNLEARNED, Encoded, Positions, Tokens
from finesight.models.formatter import Formatter, Marked
from finesight.models.hf.families import Family, Join, TokenTypes
from finesight.models.hf.positions import grid_positions
from finesight.models.hf.processor import Expansion, PictureProcessor
from finesight.models.image_formatter import open_image
from finesight.models.pixels import Pixels
from finesight.schema import Example, ImageSource

BLANK_SIDE_PIXELS = 224


class HfFormatter(Formatter):
    """A family's processor and chat template as one: the tokens are those that the processor itself would give.

    Where the family or the recipe has questions in rows of their own, `encode` adds what the family's forward pass
    takes beside the ids, and leaves positions to it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatFormat,
        processor: PictureProcessor,
        family: Family,
        *,
        image_token_id: int,
        merged_patches: int,
        own_rows: bool,
        system_prompt: str | None,
    ) -> None:
        """`merged_patches`: so many, along each side, become one feature, for families with positions in a grid."""
        super().__init__(tokenizer, chat, system_prompt=system_prompt)
        self.processor = processor
        self.family = family
        self.own_rows = own_rows
        """Whether every question is a row of its own, as the family shows it."""
        self.image_token_id = image_token_id
        self._feature_token = str(tokenizer.convert_ids_to_tokens(image_token_id))
        self._merged_patches = merged_patches
        self._expansions: dict[str, Expansion] = {}
        self._expansions_by_size: dict[tuple[int, int], Expansion] = {}
        self._positions: dict[tuple[bytes, tuple[object, ...]], Positions] = {}

    @property
    def placeholder_id(self) -> int:
        """The token that stands for a feature of an image."""
        return self.image_token_id

    def image_tokens(self, image: ImageSource) -> int:
        """Return how many image tokens the processor puts into the text for an image."""
        return self._expand(image).text.count(self._feature_token)

    def require_expansion(self) -> None:
        """Raise `ModelError` when what the processor puts into the text holds none of the model's image tokens."""
        blank = BlankImage()
        if not self.image_tokens(blank):
            raise ModelError(
                f"the processor expands {self.processor.image_token} to {self._expand(blank).text[:40]!r}, in which "
                f"the model's image token {self._feature_token!r} is not: images would never reach the language model",
                hint="use the processor and the tokenizer that belong to the checkpoint",
            )

    def encode(self, example: Example, *, answered: bool) -> Encoded:
        """Return an example as a context with one branch; see `Formatter.encode`.

        Raises `DataError` for an image that cannot be decoded, and for several where the family shows one alone.
        """
        if len(example.images) > 1 and not self.family.takes_several_images:
            raise DataError(
                f"{example.id}: {len(example.images)} images, but this family shows each of several otherwise than "
                "one alone, which model.kind: hf does not do",
                hint="give one image an example",
            )
        single = super().encode(example, answered=answered)
        if self.own_rows:
            return self.in_own_row(single)
        if self.family.has_grid_positions and example.images:
            return replace(single, prefix_positions=self._positions_of(single))
        return single

    def in_own_row(self, single: Encoded) -> Encoded:
        """Return a question with what the family's forward pass takes when it makes mask and positions by itself."""
        (branch,) = single.branches
        ids = np.concatenate([single.prefix_ids, branch.ids])
        labels = np.concatenate([np.full_like(single.prefix_ids, UNLEARNED), branch.labels])
        inputs = {name: self._mark(marked, ids, labels) for name, marked in self.family.token_types.items()}
        return replace(single, row_inputs=inputs, prefix_positions=None)

    def pixels(self, images: Sequence[ImageSource], *, blank: bool = False) -> Pixels | None:
        """Return the images as the model's forward pass takes them, by name; None for no images.

        With `blank`, as many of one colour, the mean of what the encoder was trained on. Raises `DataError` when one
        cannot be decoded.
        """
        if not images:
            return None
        shown = [self.processor.show(self._blank_picture() if blank else open_image(image)) for image in images]
        return {name: _join([each[name] for each in shown], self.family.join) for name in shown[0]}

    def image_settings(self) -> dict[str, Any]:
        """Return the image processor's settings."""
        return dict(self.processor.processor.image_processor.to_dict())

    def save_image_processor(self, folder: Path) -> None:
        """Write what prepares images."""
        self.processor.processor.image_processor.save_pretrained(folder)

    def _show_images(self, example: Example, conversation: Conversation) -> Conversation:
        """Return the conversation with each image's token expanded, as the processor does it: in the text.

        Raises `DataError` when the text itself holds an image token.
        """
        pieces = conversation.text.split(self.processor.image_token)
        if len(pieces) - 1 != len(example.images):
            raise DataError(
                f"{example.id}: {len(pieces) - 1} image tokens in the text for {len(example.images)} images",
                hint="remove the image token from the text; the template places it",
            )
        text, grown = pieces[0], []
        for image, piece in zip(example.images, pieces[1:], strict=True):
            expansion = self._expand(image).text
            grown.append((len(text), len(expansion) - len(self.processor.image_token)))
            text += expansion + piece
        return Conversation(
            text, tuple((_moved(begin, grown), _moved(end, grown)) for begin, end in conversation.answers)
        )

    def _place_images(self, example: Example, marked: Marked) -> Marked:
        """Return the same tokens; the context ends behind the last image token."""
        places = np.flatnonzero(marked.ids == self.image_token_id)
        if not len(places):
            return marked
        return replace(marked, context_tokens=max(marked.context_tokens, int(places[-1]) + 1))

    def _expand(self, image: ImageSource) -> Expansion:
        """Return what stands for an image: it follows from the image's size, and sizes recur."""
        content = image.content_hash()
        if content not in self._expansions:
            is_blank = isinstance(image, BlankImage)
            size = (BLANK_SIDE_PIXELS, BLANK_SIDE_PIXELS) if is_blank else open_image(image).size
            if size not in self._expansions_by_size:
                self._expansions_by_size[size] = self.processor.expand(Image.new("RGB", size))
            self._expansions[content] = self._expansions_by_size[size]
        return self._expansions[content]

    def _blank_picture(self) -> Image.Image:
        settings = self.processor.processor.image_processor.to_dict()
        red, green, blue = (round(255 * mean) for mean in settings.get("image_mean") or (0.5, 0.5, 0.5))
        return Image.new("RGB", (BLANK_SIDE_PIXELS, BLANK_SIDE_PIXELS), (red, green, blue))

    def _positions_of(self, single: Encoded) -> Positions:
        grids = [grid for image in single.images if (grid := self._expand(image).grid)]
        # Two grids may have equally many features, and then the tokens do not tell them apart.
        key = (single.prefix_ids.tobytes(), tuple(grids))
        if key not in self._positions:
            self._positions[key] = grid_positions(
                single.prefix_ids, self.image_token_id, grids, merged=self._merged_patches
            )
        return self._positions[key]

    def _mark(self, marked: TokenTypes, ids: Tokens, labels: Tokens) -> Tokens:
        types = np.zeros_like(ids)
        if marked == "images":
            types[ids == self.image_token_id] = 1
        elif (learned := np.flatnonzero(labels != UNLEARNED)).size:
            types[learned[0] :] = 1
        return types


def _moved(place: int, grown: Sequence[tuple[int, int]]) -> int:
    """Return where a character of a text stands once pieces of it have grown; `grown` counts in the longer text."""
    for start, by in grown:
        if place > start:
            place += by
    return place


def _join(tensors: Sequence[torch.Tensor], how: Join) -> torch.Tensor:
    """Return the tensors of several images as one; those of fewer axes than tiles have lie along the first axis."""
    if how == "first" or tensors[0].ndim < 4:
        return torch.cat(list(tensors))
    if how == "tiles":
        return torch.cat(list(tensors), dim=1)
    most = max(tensor.shape[1] for tensor in tensors)
    return torch.cat(
        [
            torch.cat([tensor, tensor.new_zeros(1, most - tensor.shape[1], *tensor.shape[2:])], dim=1)
            for tensor in tensors
        ]
    )
