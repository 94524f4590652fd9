"""LLaVA checkpoints: a folder or a hub name of `LlavaForConditionalGeneration`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor, LlavaConfig, LlavaForConditionalGeneration

from finesight.errors import ModelError
from finesight.models.chat import ChatFormat, read_template
from finesight.models.checkpoint_files import find_file
from finesight.models.configs import open_config
from finesight.models.families import image_geometry, require_attention, require_right_features, require_supported
from finesight.models.image_formatter import ImageFormatter
from finesight.models.image_scale import restore_image_scale
from finesight.models.llava_phi import HEAD_BIAS, llava_class
from finesight.models.loaded import Loaded, Traits
from finesight.models.location import Location, locate
from finesight.models.parts import PartMap
from finesight.models.positions import resize_positions
from finesight.models.quantize import keep_differentiable, quantization_arguments
from finesight.models.tokenizers import (
    IMAGE_TOKEN,
    ensure_pad_token,
    first_line,
    load_tokenizer,
    require_vocabulary,
)
from finesight.models.weights import load_weights
from finesight.recipe.model import ImageLoading, LlavaModel

LLAVA_PARTS = PartMap(
    {
        "vision": ("model.vision_tower",),
        "projector": ("model.multi_modal_projector",),
        "language": ("model.language_model", "lm_head"),
    }
)
LLAVA_TRAITS = Traits(sees_images=True, takes_custom_mask=True)


def load_llava(spec: LlavaModel, *, data_root: Path, dtype: torch.dtype) -> Loaded:
    """Return the checkpoint ready for use. Raises `ModelError` when it is incomplete or of another kind."""
    location = locate(spec.name_or_path, spec.revision, data_root)
    config = read_llava_config(location)
    require_attention(config.text_config, spec.attn_implementation)
    model = load_weights(
        llava_class(config),
        location,
        may_lack=(HEAD_BIAS,),
        dtype=dtype,
        attn_implementation=spec.attn_implementation,
        **quantization_arguments(spec.quantization),
    )
    restore_image_scale(model, location, config.transformers_version)
    if spec.quantization != "none":
        keep_differentiable(model)
    if spec.image_size is not None:
        resize_positions(model.model.vision_tower, spec.image_size)
    formatter = llava_formatter(spec, model.config, data_root)
    return Loaded(model, formatter, LLAVA_PARTS, LLAVA_TRAITS, meta_twin=lambda: meta_llava(model.config))


def llava_formatter(spec: LlavaModel, config: LlavaConfig, data_root: Path) -> ImageFormatter:
    """Return how the checkpoint is spoken to; `config` is its model's, with the image size that the recipe asks for."""
    location = locate(spec.name_or_path, spec.revision, data_root)
    tokenizer = load_tokenizer(location.name_or_path, location.revision)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = _processor_template(location)
    return make_formatter(
        spec,
        config=config,
        tokenizer=tokenizer,
        location=location,
        data_root=data_root,
        image_token=_find_image_token(tokenizer, config),
    )


def read_llava_config(location: Location, *, may_stand_in: bool = False) -> LlavaConfig:
    """Return the checkpoint's configuration, made sure to be a LLaVA of parts that are supported."""
    config = open_config(
        location,
        hint="give a folder with config.json, relative to the data root, or a hub name (which needs the network)",
        may_stand_in=may_stand_in,
    )
    if not isinstance(config, LlavaConfig):
        raise ModelError(
            f"{location}: a model of type {config.model_type!r}, not LLaVA",
            hint="kind: llava loads LlavaForConditionalGeneration; kind: assembled puts one together from parts; "
            "kind: text loads a language model by itself",
        )
    require_supported(config.vision_config, "vision")
    require_supported(config.text_config, "language")
    require_right_features(config)
    return config


def meta_llava(config: LlavaConfig) -> LlavaForConditionalGeneration:
    """Return the model that the configuration describes, without weights."""
    with torch.device("meta"):
        return llava_class(config)(config)


def make_formatter(
    spec: ImageLoading,
    *,
    config: LlavaConfig,
    tokenizer: Any,
    location: Location | None,
    data_root: Path,
    image_token: str = IMAGE_TOKEN,
) -> ImageFormatter:
    """Return a LLaVA's formatter, with tokenizer, template, images and vocabulary made sure to fit each other.

    `location` is where an image processor is read from; without one, images are resized to a square.
    """
    template = read_template(spec.chat_template, data_root) if spec.chat_template else None
    _require_image_token(tokenizer, config, image_token)
    require_vocabulary(tokenizer, config.text_config.vocab_size)
    ensure_pad_token(tokenizer)
    geometry = image_geometry(config.vision_config, config.vision_feature_select_strategy)
    return ImageFormatter(
        tokenizer,
        _image_processor(location, geometry.size),
        ChatFormat(tokenizer, image_token, template),
        image_token_id=config.image_token_id,
        geometry=geometry,
        system_prompt=spec.system_prompt,
    )


def _find_image_token(tokenizer: Any, config: LlavaConfig) -> str:
    """Return the text of a checkpoint's image token: `<image>`, or what it was assembled with instead, as `<unk>`."""
    named = tokenizer.added_tokens_decoder.get(config.image_token_id)
    is_other = IMAGE_TOKEN not in tokenizer.get_vocab() and named is not None and named.special
    return str(named.content) if is_other else IMAGE_TOKEN


def _require_image_token(tokenizer: Any, config: LlavaConfig, image_token: str) -> None:
    """Raise `ModelError` unless the image token's text is one token, the one that the configuration names."""
    ids = tokenizer(image_token, add_special_tokens=False)["input_ids"]
    if ids != [config.image_token_id]:
        raise ModelError(
            f"the tokenizer turns {image_token} into {ids}, but the configuration's image token is "
            f"{config.image_token_id}: images would never reach the language model",
            hint="use the tokenizer that belongs to the checkpoint",
        )


def _image_processor(location: Location | None, size: int) -> Any:
    """Return what turns a picture into the encoder's input, at the encoder's own size."""
    side = {"height": size, "width": size}
    if location is None:
        from transformers import CLIPImageProcessorPil

        # A square without cropping: an answer may stand at the edge of the picture.
        return CLIPImageProcessorPil(size=side, do_center_crop=False)
    try:
        processor = AutoImageProcessor.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no image processor ({first_line(error)})", hint="a checkpoint needs preprocessor_config.json"
        ) from error
    if processor.size.get("shortest_edge", size) != size or processor.size.get("height", size) != size:
        processor.size = {"shortest_edge": size} if "shortest_edge" in processor.size else side
        if processor.to_dict().get("crop_size"):
            processor.crop_size = side
    return processor


def _processor_template(location: Location) -> str | None:
    """Return the chat template that older checkpoints keep in a file of their own."""
    file = find_file(location, "chat_template.json")
    return str(json.loads(file.read_text("utf-8"))["chat_template"]) if file else None
