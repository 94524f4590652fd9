"""Checks of a model whose processor expands its own image tokens: that they fit, and that rows may be shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from finesight.branches.contexts import share_contexts
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.models.encoded import Encoded
from finesight.models.hf.formatter import HfFormatter
from finesight.models.loaded import Loaded
from finesight.models.pixels import move
from finesight.schema import Example, Turn
from finesight.train.checks.check import Check

TOLERANCE_NATS = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}
"""How far apart the losses of the same tokens may be for rounding alone, in rows that are laid out differently."""
EXCHANGES = (
    ("What does the picture show?", "A gradient."),
    ("Is it darker at its top or at its bottom?", "At its top."),
)


@dataclass(frozen=True)
class _Gradient:
    """A picture whose every part is another, wider than high, so that no axis passes for the other."""

    name: str = "a gradient"

    def open(self) -> Image.Image:
        return Image.linear_gradient("L").resize((96, 64)).convert("RGB")

    def content_hash(self) -> str:
        return "finesight-gradient"


def check_processor(loaded: Loaded, formatter: HfFormatter) -> Iterator[Check]:
    """Yield whether the processor's image tokens fit the model, and how questions stand in rows."""
    fits = check_image_tokens(loaded, formatter)
    yield fits
    if fits.status == "pass":
        yield check_rows(loaded, formatter)


@torch.no_grad()
def check_image_tokens(loaded: Loaded, formatter: HfFormatter) -> Check:
    """For a picture, as many image tokens stand in the text as the model makes features of it."""
    picture = _Gradient()
    pixels = move(formatter.pixels([picture]), loaded.device, loaded.model.dtype)
    assert pixels is not None
    features = sum(len(of_image) for of_image in loaded.model.get_image_features(**pixels).pooler_output)
    tokens = formatter.image_tokens(picture)
    if features != tokens:
        return Check(
            "image tokens",
            "failure",
            f"the processor puts {tokens} image tokens into the text, the model makes {features} features of the image",
            hint="use the processor that belongs to the checkpoint, and only such settings in model.image_processor as "
            "change its pictures",
        )
    return Check("image tokens", "pass", f"{tokens} image tokens in the text, {features} features of the same image")


def check_rows(loaded: Loaded, formatter: HfFormatter) -> Check:
    """Questions share their image only where this very model computes the same as in rows of their own.

    A family may take our mask or positions and silently compute something else. So two questions about a picture are
    given to it both ways: in one row, and each by itself, as the family's own processor and code would have it.
    """
    if formatter.own_rows:
        why = formatter.family.why if not formatter.family.shares_contexts else "as model.rows says"
        return Check("rows", "pass", f"each question is a row of its own: {why}")
    apart = difference_of_rows(loaded, formatter)
    tolerance = TOLERANCE_NATS[loaded.model.dtype]
    if not apart <= tolerance:
        return Check(
            "rows",
            "failure",
            f"two questions in one row have other losses than in rows of their own: {apart:.2g} nats apart, more than "
            f"{tolerance:g}",
            hint="set model.rows: own, which is slower and right; and report it, with the model's name",
        )
    return Check(
        "rows",
        "pass",
        f"questions share their image ({formatter.family.why}); losses of two in one row, and of each in a row of its "
        f"own as the family computes it: {apart:.1g} nats apart",
    )


@torch.no_grad()
def difference_of_rows(loaded: Loaded, formatter: HfFormatter) -> float:
    """Return how far apart the losses of a token are, at most, between a shared row and rows of their own, in nats."""
    singles = [formatter.encode(_ask(number, *exchange), answered=True) for number, exchange in enumerate(EXCHANGES)]
    shared = _losses(loaded, share_contexts(singles))
    own = torch.cat([_losses(loaded, [formatter.in_own_row(single)]) for single in singles])
    return float((shared - own).abs().max())


def _ask(number: int, question: str, answer: str) -> Example:
    turns = (Turn("user", question), Turn("assistant", answer, learned=True))
    return Example(str(number), "gradient", (_Gradient(),), turns, (answer,))


def _losses(loaded: Loaded, rows: Sequence[Encoded]) -> torch.Tensor:
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id).to(loaded.device)
    pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
    moved = move(pixels, loaded.device, loaded.model.dtype)
    return learned_losses(loaded.model, layout, moved, loaded.model.dtype)
