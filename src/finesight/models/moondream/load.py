"""From a recipe's `kind: moondream` to a model, and the map of its parts."""

from __future__ import annotations

from pathlib import Path

import torch

from finesight.models.loaded import Loaded, Traits
from finesight.models.location import locate
from finesight.models.moondream.checkpoint import fill, fit_config, open_checkpoint
from finesight.models.moondream.config import MoondreamConfig, read_moondream_config
from finesight.models.moondream.formatter import MoondreamFormatter, moondream_formatter
from finesight.models.moondream.model import MoondreamForConditionalGeneration
from finesight.models.parts import PartMap
from finesight.recipe.model import MoondreamModel

MOONDREAM_PARTS = PartMap(
    {
        "vision": ("model.vision_tower",),
        "projector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }
)
MOONDREAM_TRAITS = Traits(sees_images=True, takes_custom_mask=True)


def load_moondream(spec: MoondreamModel, *, data_root: Path, dtype: torch.dtype) -> Loaded:
    """Return the revision ready for use. Raises `ModelError` when it is incomplete, or its tensors do not fit it."""
    location = locate(spec.name_or_path, spec.revision, data_root)
    config = read_moondream_config(location)
    checkpoint = open_checkpoint(location)
    fit_config(config, checkpoint)
    formatter = moondream_formatter(spec, config, data_root)
    config.image_token_id = formatter.image_token_id
    model = meta_moondream(config, spec.attn_implementation)
    fill(model, checkpoint, dtype)
    model.generation_config.eos_token_id = formatter.tokenizer.eos_token_id
    model.generation_config.pad_token_id = formatter.tokenizer.pad_token_id
    return Loaded(model, formatter, MOONDREAM_PARTS, MOONDREAM_TRAITS, meta_twin=lambda: meta_moondream(config))


def load_moondream_formatter(spec: MoondreamModel, data_root: Path) -> MoondreamFormatter:
    """Return how the revision is spoken to, without its weights."""
    return moondream_formatter(spec, describe_moondream(spec, data_root), data_root)


def describe_moondream(spec: MoondreamModel, data_root: Path, *, may_stand_in: bool = False) -> MoondreamConfig:
    """Return the revision's configuration. What only its tensors tell is there where it is a folder that has them.

    With `may_stand_in`, a blueprint stands in for a revision that is not on this machine.
    """
    location = locate(spec.name_or_path, spec.revision, data_root)
    config = read_moondream_config(location, may_stand_in=may_stand_in)
    if location.is_folder and any(Path(location.name_or_path).glob("*.safetensors")):
        fit_config(config, open_checkpoint(location))
    return config


def meta_moondream(
    config: MoondreamConfig, attn_implementation: str | None = None
) -> MoondreamForConditionalGeneration:
    """Return the model that the configuration describes, without weights."""
    with torch.device("meta"):
        model: MoondreamForConditionalGeneration = MoondreamForConditionalGeneration._from_config(
            config, attn_implementation=attn_implementation
        )
    return model
