"""A LLaVA assembled from a vision encoder, a projector and a language model, each from a checkpoint or a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipVisionModel,
)
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from finesight.errors import ModelError
from finesight.models.at_hand import TOKENIZER_FILES
from finesight.models.configs import find_stand_in
from finesight.models.families import (
    image_geometry,
    require_attention,
    require_right_features,
    require_supported,
    right_strategy,
)
from finesight.models.image_formatter import ImageFormatter
from finesight.models.llava import LLAVA_PARTS, LLAVA_TRAITS, make_formatter, meta_llava
from finesight.models.loaded import Loaded
from finesight.models.location import locate
from finesight.models.part_sources import (
    Texts,
    cast_weights,
    choose_tokenizer,
    locate_tokenizer,
    make_language_model,
    read_config,
)
from finesight.models.positions import resize_positions
from finesight.models.tokenizers import IMAGE_TOKEN, ensure_special_tokens
from finesight.models.weights import load_weights
from finesight.recipe.model import AssembledModel
from finesight.schema import PartName


def load_assembled(
    spec: AssembledModel, *, data_root: Path, dtype: torch.dtype, seed: int, texts: Texts, saved: Path | None
) -> Loaded:
    """Return the assembled model in one dtype.

    `texts` gives the training text when a tokenizer has to be learned; `saved` is the folder in which an earlier
    start of this run has kept its tokenizer.
    """
    config = assembled_config(spec, data_root)
    tokenizer = _choose_tokenizer(spec, data_root=data_root, texts=texts, saved=saved)
    torch.manual_seed(seed)
    model = _graft(spec, config, data_root, dtype)
    formatter = _fit(spec, model, tokenizer, data_root)
    cast_weights(model, dtype)
    return Loaded(
        model,
        formatter,
        LLAVA_PARTS,
        LLAVA_TRAITS,
        meta_twin=lambda: meta_llava(model.config),
        random_parts=random_parts(spec),
    )


def assembled_formatter(spec: AssembledModel, *, data_root: Path, texts: Texts) -> ImageFormatter:
    """Return how the assembled model is spoken to, without its weights."""
    model = meta_llava(assembled_config(spec, data_root))
    return _fit(spec, model, _choose_tokenizer(spec, data_root=data_root, texts=texts, saved=None), data_root)


def _fit(
    spec: AssembledModel, model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, data_root: Path
) -> ImageFormatter:
    """Fit the model to the recipe's image size and to the tokenizer, and return how it is spoken to."""
    if spec.image_size is not None:
        resize_positions(model.model.vision_tower, spec.image_size)
    image_token_id = ensure_special_tokens(tokenizer, spec.image_token)
    _fit_vocabulary(model, tokenizer, image_token_id, may_resize=spec.language.config is None)
    location = locate(spec.vision.name_or_path, spec.vision.revision, data_root) if spec.vision.name_or_path else None
    return make_formatter(
        spec,
        config=model.config,
        tokenizer=tokenizer,
        location=location,
        data_root=data_root,
        image_token=spec.image_token,
    )


def random_parts(spec: AssembledModel) -> frozenset[PartName]:
    """Return the parts whose weights begin as random numbers."""
    parts: set[PartName] = {"projector"}
    if spec.vision.config is not None:
        parts.add("vision")
    if spec.language.config is not None:
        parts.add("language")
    return frozenset(parts)


def assembled_config(spec: AssembledModel, data_root: Path, *, may_stand_in: bool = False) -> LlavaConfig:
    """Return the configuration of the whole, before the vocabulary is fitted to the tokenizer."""
    vision = _vision_config(read_config(spec.vision, "model.vision", data_root, may_stand_in=may_stand_in))
    text = read_config(spec.language, "model.language", data_root, may_stand_in=may_stand_in)
    require_supported(vision, "vision")
    require_supported(text, "language")
    require_attention(text, spec.attn_implementation)
    strategy = spec.vision_feature_select_strategy or right_strategy(vision)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        vision_feature_layer=spec.vision_feature_layer,
        vision_feature_select_strategy=strategy,
        projector_hidden_act=spec.projector.hidden_act,
        multimodal_projector_bias=spec.projector.bias,
        image_seq_length=image_geometry(vision, strategy).features,
        image_token_index=0,
        tie_word_embeddings=text.tie_word_embeddings,
        attn_implementation=spec.attn_implementation,
    )
    require_right_features(config)
    return config


def described_config(spec: AssembledModel, data_root: Path, *, may_stand_in: bool = False) -> LlavaConfig:
    """Return the configuration of the whole as loading leaves it, so that parameters can be counted without weights."""
    config = assembled_config(spec, data_root, may_stand_in=may_stand_in)
    if spec.language.name_or_path is not None and spec.tokenizer.vocab_size is None:
        tokens = _count_tokens(spec, data_root, may_stand_in=may_stand_in)
        config.text_config.vocab_size = max(config.text_config.vocab_size, tokens)
    return config


def _count_tokens(spec: AssembledModel, data_root: Path, *, may_stand_in: bool) -> int:
    """Return how many tokens the tokenizer has, the image token among them."""
    location = locate_tokenizer(spec.tokenizer, spec.language, data_root)
    blueprint = find_stand_in(location, file=TOKENIZER_FILES[0]) if may_stand_in else None
    if blueprint is not None and blueprint.tokenizer is not None:
        known = blueprint.tokenizer
        return known.tokens + (spec.image_token == IMAGE_TOKEN and IMAGE_TOKEN not in known.ids)
    tokenizer = _choose_tokenizer(spec, data_root=data_root, texts=tuple, saved=None)
    ensure_special_tokens(tokenizer, spec.image_token)
    return len(tokenizer)


def _vision_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the encoder's own part of a CLIP or SigLIP configuration."""
    if config.model_type in ("clip", "siglip"):
        config = config.vision_config
    if config.model_type == "siglip_vision_model":
        config.vision_use_head = False  # LLaVA takes features, never the pooled head: it would be a ghost
    return config


def tower_class(vision_config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the class of the vision encoder that the configuration describes."""
    is_siglip = vision_config.model_type == "siglip_vision_model"
    chosen: type[PreTrainedModel] = SiglipVisionModel if is_siglip else CLIPVisionModel
    return chosen


def _graft(
    spec: AssembledModel, config: LlavaConfig, data_root: Path, dtype: torch.dtype
) -> LlavaForConditionalGeneration:
    """Return the whole, each part in the place that the forward pass uses; what a checkpoint holds is in `dtype`.

    The skeleton has no weights of its own, so nothing is ever held twice, and a language model is taken apart:
    its body becomes `model.language_model`, its head `lm_head`. Registered whole it would be a ghost.
    """
    model = meta_llava(config)
    vision_class = tower_class(config.vision_config)
    attention: dict[str, Any] = {"attn_implementation": spec.attn_implementation}
    if spec.vision.config is not None:
        tower = vision_class._from_config(config.vision_config, **attention)
    else:
        location = locate(str(spec.vision.name_or_path), spec.vision.revision, data_root)
        seen = {"config": config.vision_config, "dtype": dtype, **attention}
        tower = load_weights(vision_class, location, may_hold_more=True, **seen)
    # Random weights begin in float32, or they would be others in every number format.
    formats = {"dtype": dtype} if spec.language.config is None else {}
    language = make_language_model(spec.language, config.text_config, data_root, **attention, **formats)
    model.model.vision_tower = tower
    model.model.multi_modal_projector = LlavaMultiModalProjector(config)
    model.model.language_model = language.model
    model.lm_head = language.lm_head
    model.generation_config = language.generation_config
    return model


def _choose_tokenizer(
    spec: AssembledModel, *, data_root: Path, texts: Texts, saved: Path | None
) -> PreTrainedTokenizerBase:
    return choose_tokenizer(
        spec.tokenizer, spec.language, data_root=data_root, texts=texts, saved=saved, extra_tokens=(spec.image_token,)
    )


def _fit_vocabulary(
    model: LlavaForConditionalGeneration, tokenizer: Any, image_token_id: int, *, may_resize: bool
) -> None:
    """Keep vocabulary, image token and pad token in step, after the graft: resized before it, they drift apart."""
    size = int(model.config.text_config.vocab_size)
    if len(tokenizer) > size:
        if not may_resize:
            raise ModelError(
                f"the tokenizer has {len(tokenizer)} tokens, model.language.config a vocab_size of {size}",
                hint=f"set vocab_size: {len(tokenizer)} or more",
            )
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.image_token_id = image_token_id
    model.config.text_config.pad_token_id = tokenizer.pad_token_id
