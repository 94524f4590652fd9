"""Rows for a plan whose data or tokenizer are not at hand: the longest that the recipe allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from finesight.branches.layout import Layout
from finesight.errors import UserError
from finesight.models.encoded import UNLEARNED
from finesight.models.load import describe_model, load_formatter
from finesight.models.moondream.config import MoondreamConfig
from finesight.models.moondream.crops import choose_grid_2024, choose_grid_2025
from finesight.models.pixels import Pixels
from finesight.models.reach import one_image
from finesight.plan.workload import Largest, Workload, lengthened
from finesight.recipe.evaluate import SetTask
from finesight.recipe.model import HfModel, MoondreamModel, TextModel
from finesight.recipe.recipe import Recipe, Stage
from finesight.recipe.sources import LlavaJson
from finesight.schema import Example, Turn
from finesight.train.batches import RowBatch, make_batch

PICTURE_SIZE = (1024, 768)
"""Width and height of the picture that is assumed where its size decides how much of it a model sees."""


@dataclass(frozen=True)
class Shown:
    """How an assumed row begins: with an image where the model sees them."""

    tokens: int
    """How many tokens of a row that takes."""
    begin: Callable[[int], RowBatch]
    """Gives the beginnings of so many rows."""
    depends_on_size: bool = False
    """Whether a picture of another size would take more or less."""


@dataclass(frozen=True)
class AssumedRows:
    """Rows as long as the recipe allows."""

    max_length: int
    shown: Shown
    learned_tokens: int
    written_tokens: int
    """The longest answer that an evaluation may get."""
    because: str
    """Why they are not the recipe's own."""

    @property
    def longest(self) -> int:
        """The tokens of the longest example."""
        return self.max_length

    def workload(self, stage: Stage, *, max_tokens: int, gpus: int) -> Workload:
        """Return what `stage` puts through the model, were every example as long as the recipe allows."""
        size = stage.train.global_batch_size
        share = math.ceil(size / gpus)
        rows = min(share, max(1, max_tokens // self.max_length))
        answered = self.max_length + self.written_tokens
        largest = Largest(
            (self._batch(rows, self.max_length),),
            math.ceil(share / rows),
            self._batch(max(1, max_tokens // answered), answered),
            1,
        )
        return Workload(largest, stage.train.max_steps, float(size * self.max_length), rows_differ=False)

    def shorter(self, max_length: int) -> AssumedRows | None:
        """Return rows of at most `max_length`; None where an image and an answer would not fit."""
        room = max_length - self.shown.tokens - 1
        return replace(self, max_length=max_length, learned_tokens=min(self.learned_tokens, room)) if room > 1 else None

    def describe(self) -> dict[str, object]:
        """Return what is assumed, and why."""
        size = {"picture_pixels": PICTURE_SIZE} if self.shown.depends_on_size else {}
        return {
            "from": "assumed",
            "because": self.because,
            "tokens": self.max_length,
            "image_tokens": self.shown.tokens,
            "learned_tokens": self.learned_tokens,
            **size,
        }

    def _batch(self, rows: int, tokens: int) -> RowBatch:
        batch = lengthened(self.shown.begin(rows), tokens)
        labels = torch.full_like(batch.layout.next_labels, UNLEARNED)
        labels[:, tokens - self.learned_tokens :] = 0
        return replace(batch, layout=replace(batch.layout, next_labels=labels))


def assume_rows(recipe: Recipe, data_root: Path, because: str) -> AssumedRows:
    """Return rows as long as `data.max_length`; each with an image where the model sees them, and with an answer.

    The answer is as long as a task on the recipe's own sets may get; where there is no such task, or conversations are
    learned, all of the text may be an answer. Raises `ModelError` where the model's configuration, or for `kind: hf`
    its processor, is not at hand, and `UserError` where the longest row has no room for an image.
    """
    shown = _show_image(recipe, data_root)
    room = recipe.data.max_length - shown.tokens - 1
    if room < 2:
        raise UserError(
            f"data.max_length is {recipe.data.max_length}, and an image alone takes {shown.tokens} tokens",
            hint=f"set data.max_length to {shown.tokens} and what a question with its answer takes",
        )
    converses = any(isinstance(source, LlavaJson) for source in recipe.data.train)
    answers = [task.max_new_tokens for task in recipe.evaluate if isinstance(task, SetTask) and not converses]
    learned_tokens = min([room - 1, *sorted(answers)[-1:]])
    written_tokens = max(task.max_new_tokens for task in recipe.evaluate)
    return AssumedRows(recipe.data.max_length, shown, learned_tokens, written_tokens, because)


def _show_image(recipe: Recipe, data_root: Path) -> Shown:
    match recipe.model:
        case TextModel():
            return Shown(0, partial(_begin, 0, None))
        case HfModel() as spec:
            return _show_by_processor(spec, data_root)
        case spec:
            model, _ = describe_model(spec, data_root=data_root, may_stand_in=True)
            tokens, pixels = one_image(model.config)
            several = isinstance(spec, MoondreamModel) and spec.crops == "several"
            shown = {name: torch.zeros(each.shape) for name, each in pixels.items()}
            if several:
                shown |= _show_crops(model.config)
            return Shown(tokens, partial(_begin, tokens, shown), depends_on_size=several)


def _begin(tokens: int, image: Pixels | None, rows: int) -> RowBatch:
    """Return rows of an image each, as far as shapes go."""
    ids = torch.zeros(rows, tokens, dtype=torch.long)
    pixels = image and {name: torch.cat([each] * rows) for name, each in image.items()}
    return RowBatch(Layout(ids, ids, ids, torch.full_like(ids, UNLEARNED)), pixels, ())


def _show_crops(config: MoondreamConfig) -> Pixels:
    """Return what a moondream2 that looks closer takes beside the whole picture."""
    size = config.vision_config.image_size
    if config.generation == "2024":
        grid = choose_grid_2024(*PICTURE_SIZE, size)
    else:
        margin = int(config.overlap_patches * config.vision_config.patch_size)
        grid = choose_grid_2025(*PICTURE_SIZE, size, margin, config.most_crops)
    rows, columns = grid
    return {"crop_values": torch.zeros(rows * columns, 3, size, size), "crop_grids": torch.tensor([grid])}


def _show_by_processor(spec: HfModel, data_root: Path) -> Shown:
    """Return how rows begin of a family of which only the processor knows what becomes of a picture."""
    formatter = load_formatter(spec, data_root=data_root)
    turns = (Turn("user", "?"), Turn("assistant", "!", True))
    example = Example("assumed", "assumed", (_GreyPicture(),), turns, ("!",), source="assumed")
    row = formatter.encode(example, answered=True)
    return Shown(row.tokens, lambda rows: make_batch([row] * rows, formatter), depends_on_size=True)


class _GreyPicture:
    """A picture that has a size and nothing on it; it is not black, which some models take for no picture."""

    name = "grey"

    def open(self) -> Image.Image:
        """Return it."""
        return Image.new("RGB", PICTURE_SIZE, (128, 128, 128))

    def content_hash(self) -> str:
        """Return what tells it from others."""
        return self.name
