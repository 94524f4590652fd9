"""From an example to tokens, labels and pixels, for families whose images are placeholder tokens in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from finesight.errors import DataError, ModelError
from finesight.models.chat import ChatFormat, Conversation
from finesight.models.encoded import UNLEARNED, Branch, Encoded, Tokens
from finesight.schema import Example, ImageSource, Turn


@dataclass(frozen=True)
class ImageGeometry:
    """What the vision encoder takes and gives."""

    size: int
    """Side of its input in pixels."""
    features: int
    """Features it gives for an image: that many image tokens stand in the text."""


class Formatter:
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
        if not tokenizer.is_fast:
            raise ModelError(
                "the tokenizer gives no character offsets, so answers cannot be found in a conversation",
                hint="save it as a fast tokenizer (tokenizer.json)",
            )
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.chat = chat
        self.image_token_id = image_token_id
        self.geometry = geometry
        self.system_prompt = system_prompt
        self._opening = _opening_ids(tokenizer)
        self._prefixes: dict[bytes, Tokens] = {}
        self._template_end = self._find_template_end()
        self.end_ids = self._find_end_ids()

    def encode(self, example: Example, *, answered: bool) -> Encoded:
        """Return an example as a context with one branch.

        With `answered`, the branch holds the answers, labelled where they are learned; without, it ends where the
        model's answer begins. Raises `DataError` when the text itself holds an image token.
        """
        turns = self._with_system(example.turns)
        if answered:
            conversation = self._converse(turns, len(example.images))
        else:
            conversation = Conversation(self.chat.render(turns[:-1], len(example.images), ask=True), ())
        ids, labels = self._tokenize(conversation)
        placeholders = int((ids == self.image_token_id).sum())
        if placeholders != len(example.images):
            raise DataError(
                f"{example.id}: {placeholders} image tokens in the text for {len(example.images)} images",
                hint="remove the image token from the question's text; the template places it",
            )
        ids, labels = self._expand(ids, labels)
        cut = self._prefix_length(ids)
        branch = Branch(example, ids[cut:], labels[cut:])
        return Encoded(self._intern(ids[:cut]), example.images, (branch,))

    def pixels(self, images: Sequence[ImageSource]) -> torch.Tensor:
        """Return the images as the vision encoder takes them: float[images, 3, size, size].

        Raises `DataError` when one cannot be decoded.
        """
        opened = []
        for image in images:
            try:
                opened.append(image.open())
            except OSError as error:
                raise DataError(f"{image.name}: cannot be decoded ({error})", hint="run `finesight check`") from error
        pixels: torch.Tensor = self.image_processor(images=opened, return_tensors="pt")["pixel_values"]
        return pixels

    def blank_pixels(self, images: int) -> torch.Tensor:
        """Return so many images without content, the mean of what the encoder was trained on: float[images, 3, …]."""
        return torch.zeros(images, 3, self.geometry.size, self.geometry.size)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of an answer's tokens, without special tokens and blanks around it."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def _with_system(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        if self.system_prompt is None or turns[0].role == "system":
            return turns
        return (Turn("system", self.system_prompt), *turns)

    def _converse(self, turns: tuple[Turn, ...], images: int) -> Conversation:
        """Return the conversation; where the template ends an answer with nothing, eos ends the last one.

        Without it the model would never learn to stop.
        """
        conversation = self.chat.converse(turns, images)
        if self._template_end is not None or not turns[-1].learned:
            return conversation
        *others, (begin, end) = conversation.answers
        text = conversation.text[:end] + self.tokenizer.eos_token
        return Conversation(text, (*others, (begin, len(text))))

    def _tokenize(self, conversation: Conversation) -> tuple[Tokens, Tokens]:
        """Return ids and labels; learned are an answer's tokens and the one that ends it."""
        encoding = self.tokenizer(conversation.text, add_special_tokens=False, return_offsets_mapping=True)
        bos = self.tokenizer.bos_token
        opening = [] if bos and conversation.text.startswith(bos) else self._opening
        ids = np.array([*opening, *encoding["input_ids"]], dtype=np.int32)
        labels = np.full_like(ids, UNLEARNED)
        starts = np.array([start for start, _ in encoding["offset_mapping"]], dtype=np.int64)
        for begin, end in conversation.answers:
            inside = len(opening) + np.flatnonzero((starts >= begin) & (starts < end))
            ended = np.flatnonzero(np.isin(ids[inside], list(self.end_ids)))
            learned = inside[: ended[0] + 1] if len(ended) else inside
            labels[learned] = ids[learned]
        return ids, labels

    def _expand(self, ids: Tokens, labels: Tokens) -> tuple[Tokens, Tokens]:
        """Repeat each image token once for every feature of the image."""
        repeats = np.where(ids == self.image_token_id, self.geometry.features, 1)
        return np.repeat(ids, repeats), np.repeat(labels, repeats)

    def _prefix_length(self, ids: Tokens) -> int:
        """Return where the context ends: behind the last image token, or behind the first token where there is none.

        It never depends on which questions come together, so a context is the same in training and evaluation.
        """
        images = np.flatnonzero(ids == self.image_token_id)
        return int(images[-1]) + 1 if len(images) else 1

    def _intern(self, prefix: Tokens) -> Tokens:
        """Return one array for equal prefixes: image tokens are alike for all images, so a data set needs few."""
        return self._prefixes.setdefault(prefix.tobytes(), prefix)

    def _find_template_end(self) -> int | None:
        """Return the special token that the template puts behind an answer, or None where it puts none there."""
        turns = self._with_system((Turn("user", "?"), Turn("assistant", "!", learned=True)))
        conversation = self.chat.converse(turns, 0)
        ((begin, end),) = conversation.answers
        encoding = self.tokenizer(conversation.text, add_special_tokens=False, return_offsets_mapping=True)
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        behind = (
            int(token)
            for token, (start, _) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
            if begin < start < end and token in special
        )
        return next(behind, None)

    def _find_end_ids(self) -> frozenset[int]:
        """Return the tokens that end an answer: the tokenizer's own, and what the template puts behind an answer."""
        ends = [token for token in (self.tokenizer.eos_token_id, self._template_end) if token is not None]
        if not ends:
            raise ModelError(
                "neither the tokenizer nor the chat template has a token that ends an answer",
                hint="set the tokenizer's eos_token",
            )
        return frozenset(ends)


def _opening_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return what the tokenizer puts before every text by itself: usually its bos token, or nothing.

    Templates are tokenized without special tokens, or a template with a bos of its own would get two.
    """
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start]
    raise ModelError("the tokenizer changes a text when it adds its special tokens", hint="check its post-processor")
