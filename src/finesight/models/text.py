"""Language models by themselves: they read texts, as the source of an SVG, and see no images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from finesight.errors import ModelError
from finesight.models.chat import ChatFormat, read_template
from finesight.models.families import require_attention, require_supported
from finesight.models.formatter import Formatter
from finesight.models.kinds import find_kind, name_kind
from finesight.models.loaded import Loaded, Traits
from finesight.models.part_sources import Texts, cast_weights, choose_tokenizer, make_language_model, read_config
from finesight.models.parts import PartMap
from finesight.models.quantize import keep_differentiable, quantization_arguments
from finesight.models.tokenizers import ensure_pad_token, require_vocabulary
from finesight.recipe.model import TextModel

TEXT_PARTS = PartMap({"vision": (), "projector": (), "language": ("model", "lm_head")})
TEXT_TRAITS = Traits(sees_images=False, takes_custom_mask=True)


def load_text(
    spec: TextModel, *, data_root: Path, dtype: torch.dtype, seed: int, texts: Texts, saved: Path | None
) -> Loaded:
    """Return the language model in one dtype, ready for use.

    `texts` gives the training text when a tokenizer has to be learned; `saved` is the folder in which an earlier
    start of this run has kept its tokenizer. Raises `ModelError` when the model is incomplete or of another kind.
    """
    config = read_text_config(spec, data_root)
    formatter = text_formatter(spec, config, data_root=data_root, texts=texts, saved=saved)
    model = _make_model(spec, config, data_root=data_root, dtype=dtype, seed=seed)
    return Loaded(
        model,
        formatter,
        TEXT_PARTS,
        TEXT_TRAITS,
        meta_twin=lambda: meta_text(model.config),
        random_parts=frozenset() if spec.config is None else frozenset({"language"}),
    )


def text_formatter(
    spec: TextModel, config: PreTrainedConfig, *, data_root: Path, texts: Texts, saved: Path | None
) -> Formatter:
    """Return how the language model is spoken to; `config` is its own."""
    tokenizer = choose_tokenizer(spec.tokenizer, spec, data_root=data_root, texts=texts, saved=saved)
    require_vocabulary(tokenizer, config.vocab_size)
    ensure_pad_token(tokenizer)
    template = read_template(spec.chat_template, data_root) if spec.chat_template else None
    return Formatter(tokenizer, ChatFormat(tokenizer, None, template), system_prompt=spec.system_prompt)


def read_text_config(spec: TextModel, data_root: Path, *, may_stand_in: bool = False) -> PreTrainedConfig:
    """Return the model's configuration, made sure to be a language model that is supported."""
    config = read_config(spec, "model", data_root, may_stand_in=may_stand_in)
    if find_kind(config.model_type) not in (None, "text"):
        raise ModelError(
            f"{spec.name_or_path}: a model of type {config.model_type!r}, and no language model by itself",
            hint=f"{name_kind(config.model_type)}, with the images that it sees",
        )
    require_supported(config, "language")
    require_attention(config, spec.attn_implementation)
    return config


def meta_text(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model that the configuration describes, without weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _make_model(
    spec: TextModel, config: PreTrainedConfig, *, data_root: Path, dtype: torch.dtype, seed: int
) -> PreTrainedModel:
    arguments: dict[str, Any] = {"attn_implementation": spec.attn_implementation}
    if spec.config is not None:
        torch.manual_seed(seed)
        model = make_language_model(spec, config, data_root, **arguments)
        cast_weights(model, dtype)
        return model
    arguments |= {"dtype": dtype, **quantization_arguments(spec.quantization)}
    model = make_language_model(spec, config, data_root, **arguments)
    if spec.quantization != "none":
        keep_differentiable(model)
    return model
