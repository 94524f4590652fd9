"""The scale at which a LLaVA of a Gemma takes image features, which transformers changed without a word.

Gemma multiplies its embeddings by the root of their width. Up to transformers 5.3 that was done to everything that
goes into the first layer, image features included; since 5.4 it is done to the embeddings of tokens alone. A checkpoint
tuned before then gets features about 45 times too small (at 2,048 wide): it loads, runs, and hardly sees.
"""

from __future__ import annotations

import re

import torch
from transformers import LlavaForConditionalGeneration

from finesight.errors import ModelError
from finesight.models.location import Location
from finesight.runtime import say

SCALING_TYPES = ("gemma", "gemma2")
SCALES_TOKENS_ALONE = (5, 4)
"""The first version of transformers that does."""


@torch.no_grad()
def restore_image_scale(model: LlavaForConditionalGeneration, location: Location, written_by: str | None) -> None:
    """Put into the projector the scale that the checkpoint was tuned with, in place.

    `written_by` is the version of transformers that its configuration names. Raises `ModelError` for a Gemma whose
    configuration names none.
    """
    text = model.config.text_config
    if text.model_type not in SCALING_TYPES or _scales_tokens_alone(location, written_by):
        return
    scale = float(text.hidden_size) ** 0.5
    for parameter in model.model.multi_modal_projector.linear_2.parameters():
        parameter.copy_(parameter.float() * scale)
    say(
        f"{location}: written by transformers {written_by}, in which a Gemma multiplied image features by {scale:.2f}; "
        "the projector does so now"
    )


def _scales_tokens_alone(location: Location, written_by: str | None) -> bool:
    version = re.match(r"(\d+)\.(\d+)", written_by or "")
    if version is None:
        raise ModelError(
            f"{location}: config.json does not say which transformers wrote it, and with it at which scale its Gemma "
            "takes image features",
            hint="put transformers_version into config.json: that of the training, or 5.4.0 if it was a later one",
        )
    return (int(version[1]), int(version[2])) >= SCALES_TOKENS_ALONE
