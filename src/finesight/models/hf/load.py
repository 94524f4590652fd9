"""Image-text models of Hugging Face whose processor expands its own image tokens: SmolVLM, Qwen2.5-VL, PaliGemma …"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from finesight.errors import ModelError
from finesight.models.chat import ChatFormat, read_template
from finesight.models.hf.families import family_of
from finesight.models.hf.formatter import HfFormatter
from finesight.models.hf.processor import load_processor
from finesight.models.loaded import Loaded, Traits
from finesight.models.location import Location, locate
from finesight.models.quantize import keep_differentiable, quantization_arguments
from finesight.models.tokenizers import ensure_pad_token, first_line, require_vocabulary
from finesight.models.weights import load_weights
from finesight.recipe.model import HfModel


def load_hf(spec: HfModel, *, data_root: Path, dtype: torch.dtype) -> Loaded:
    """Return the checkpoint ready for use. Raises `ModelError` when it is incomplete or of a family not known."""
    location = locate(spec.name_or_path, spec.revision, data_root)
    config = read_hf_config(location)
    family = family_of(config, str(location))
    formatter = hf_formatter(spec, config, data_root)
    seeing = (*family.parts.prefixes["vision"], *family.parts.prefixes["projector"])
    model = load_weights(
        AutoModelForImageTextToText,
        location,
        dtype=dtype,
        attn_implementation=spec.attn_implementation,
        **quantization_arguments(spec.quantization, unquantized=(*seeing, "lm_head")),
    )
    if spec.quantization != "none":
        keep_differentiable(model)
    traits = Traits(sees_images=True, takes_custom_mask=not formatter.own_rows)
    return Loaded(model, formatter, family.parts, traits, meta_twin=lambda: meta_hf(model.config))


def hf_formatter(spec: HfModel, config: PreTrainedConfig, data_root: Path) -> HfFormatter:
    """Return how the checkpoint is spoken to; `config` is its own."""
    location = locate(spec.name_or_path, spec.revision, data_root)
    family = family_of(config, str(location))
    processor, tokenizer, own_template = load_processor(family.processor, location, spec.image_processor)
    if own_template is not None:
        tokenizer.chat_template = own_template
    template = spec.chat_template or (None if own_template else family.chat_template)
    image_token_id = _require_image_token(location, tokenizer, config)
    require_vocabulary(tokenizer, config.get_text_config().vocab_size)
    ensure_pad_token(tokenizer)
    formatter = HfFormatter(
        tokenizer,
        ChatFormat(tokenizer, processor.image_token, read_template(template, data_root) if template else None),
        processor,
        family,
        image_token_id=image_token_id,
        merged_patches=config.vision_config.spatial_merge_size if family.has_grid_positions else 1,
        own_rows=spec.rows == "own" or not family.shares_contexts,
        system_prompt=spec.system_prompt,
    )
    formatter.require_expansion()
    return formatter


def read_hf_config(location: Location) -> PreTrainedConfig:
    """Return the checkpoint's configuration, of whatever family."""
    try:
        return AutoConfig.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no model can be found there ({first_line(error)})",
            hint="give a folder with config.json, relative to the data root, or a hub name (which needs the network)",
        ) from error


def meta_hf(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model that the configuration describes, without weights."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)
    return model


def _require_image_token(location: Location, tokenizer: object, config: PreTrainedConfig) -> int:
    """Return the token that stands for an image's feature; the tokenizer must have it."""
    image_token_id = int(config.image_token_id)
    if image_token_id not in tokenizer.get_vocab().values():  # type: ignore[attr-defined]
        raise ModelError(
            f"{location}: the tokenizer has no token {image_token_id}, which the configuration names as the image "
            "token: images would never reach the language model",
            hint="use the tokenizer that belongs to the checkpoint",
        )
    return image_token_id
