"""From an example to tokens and labels: what a family's tokenizer and chat template make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from finesight.errors import DataError, ModelError
from finesight.models.chat import ChatFormat, Conversation
from finesight.models.encoded import UNLEARNED, Branch, Encoded, Tokens
from finesight.models.pixels import Pixels
from finesight.schema import Example, ImageSource, Turn


@dataclass(frozen=True)
class Marked:
    """A conversation's tokens, with what is marked in them."""

    ids: Tokens
    """int[tokens]"""
    labels: Tokens
    """int[tokens]: the token itself where it is learned, else `UNLEARNED`."""
    context_tokens: int
    """How many of them, from the first, are the context."""


class Formatter:
    """A text model's tokenizer and chat template as one; families that see images build on it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: ChatFormat, *, system_prompt: str | None) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "the tokenizer gives no character offsets, so answers cannot be found in a conversation",
                hint="save it as a fast tokenizer (tokenizer.json)",
            )
        self.tokenizer = tokenizer
        self.chat = chat
        self.system_prompt = system_prompt
        self._opening = _opening_ids(tokenizer)
        self._prefixes: dict[bytes, Tokens] = {}
        self._template_end = self._find_template_end()
        self.end_ids = self._find_end_ids()

    @property
    def placeholder_id(self) -> int | None:
        """The token that stands for something else than text, which no answer may hold; None where there is none."""
        return None

    def encode(self, example: Example, *, answered: bool) -> Encoded:
        """Return an example as a context with one branch.

        With `answered`, the branch holds the answers, labelled where they are learned; without, it ends where the
        model's answer begins. Raises `DataError` for an example that this model cannot be given.
        """
        context = example.context.strip()  # or the last newline of a file would make it another text
        turns = self._with_system(_with_context(example.turns, context))
        images = len(example.images)
        if answered:
            conversation = self._converse(turns, images)
        else:
            conversation = Conversation(self.chat.render(turns[:-1], images, ask=True), ())
        marked = self._place_images(example, self._tokenize(self._show_images(example, conversation), context))
        cut = marked.context_tokens
        branch = Branch(example, marked.ids[cut:], marked.labels[cut:])
        return Encoded(self._intern(marked.ids[:cut]), example.images, (branch,))

    def pixels(self, images: Sequence[ImageSource], *, blank: bool = False) -> Pixels | None:
        """Return the images (with `blank`, as many without content) as the model takes them; None for no images."""
        assert not images, "encode refuses images"
        return None

    def image_tokens(self, image: ImageSource) -> int:
        """Return how many placeholders stand for an image in the text: of a text model none."""
        return 0

    def image_settings(self) -> dict[str, Any]:
        """Return everything that decides how images are prepared, by name; empty of a family that sees none."""
        return {}

    def save_image_processor(self, folder: Path) -> None:
        """Write what prepares images, where the family has such a thing."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of an answer's tokens, without special tokens and blanks around it."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def _show_images(self, example: Example, conversation: Conversation) -> Conversation:
        """Return the conversation with the example's images in its text, for families that show them there."""
        return conversation

    def _place_images(self, example: Example, marked: Marked) -> Marked:
        """Return the tokens with those of the example's images among them, here: refuse images."""
        if example.images:
            raise DataError(
                f"{example.id}: shows an image ({example.images[0].name}), but the model reads text alone",
                hint="use a model that sees images (model.kind llava or assembled), or data whose context is a text",
            )
        return marked

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

    def _tokenize(self, conversation: Conversation, context: str) -> Marked:
        """Return the conversation as tokens; learned are an answer's tokens and the one that ends it."""
        encoding = self.tokenizer(conversation.text, add_special_tokens=False, return_offsets_mapping=True)
        bos = self.tokenizer.bos_token
        opening = [] if bos and conversation.text.startswith(bos) else self._opening
        ids = np.array([*opening, *encoding["input_ids"]], dtype=np.int32)
        labels = np.full_like(ids, UNLEARNED)
        offsets = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        starts = offsets[:, 0]
        for begin, end in conversation.answers:
            inside = len(opening) + np.flatnonzero((starts >= begin) & (starts < end))
            ended = np.flatnonzero(np.isin(ids[inside], list(self.end_ids)))
            learned = inside[: ended[0] + 1] if len(ended) else inside
            labels[learned] = ids[learned]
        inside_context = _tokens_inside(context, conversation.text, offsets)
        # Without a context the first token is one all the same: a branch has to stand behind something.
        return Marked(ids, labels, len(opening) + inside_context if inside_context else 1)

    def _intern(self, prefix: Tokens) -> Tokens:
        """Return one array for equal prefixes: all questions about a context have the same."""
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


def _with_context(turns: tuple[Turn, ...], context: str) -> tuple[Turn, ...]:
    """Return what is said: a context stands in the first question, before it."""
    if not context:
        return turns
    first = next(number for number, turn in enumerate(turns) if turn.role == "user")
    said = replace(turns[first], text=f"{context}\n{turns[first].text}")
    return (*turns[:first], said, *turns[first + 1 :])


def _tokens_inside(context: str, text: str, offsets: NDArray[np.int64]) -> int:
    """Return behind how many tokens of `text` the context ends; 0 where there is none.

    The last token counted lies wholly inside the context: which question comes next may change what is joined to its
    end, and then each question would have a context of its own. Raises `ModelError` when the template rewrites the
    context.
    """
    if not context:
        return 0
    begin = text.find(context)
    if begin < 0:
        raise ModelError(
            "the chat template does not show a context as it was written",
            hint="give a template that keeps the content of the user's turn, in model.chat_template",
        )
    starts, ends = offsets[:, 0], offsets[:, 1]
    inside = np.flatnonzero((starts >= begin) & (ends <= begin + len(context)))
    return int(inside[-1]) + 1 if len(inside) else 0


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
