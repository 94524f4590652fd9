"""LLaVA checkpoints: a folder or a hub name of `LlavaForConditionalGeneration`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoImageProcessor, LlavaConfig, LlavaForConditionalGeneration
from transformers.utils import cached_file

from finesight.errors import ModelError
from finesight.models.chat import ChatFormat, read_template
from finesight.models.families import image_geometry, require_right_features, require_supported
from finesight.models.image_formatter import ImageFormatter
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
    read_llava_config(location)
    model = load_weights(
        LlavaForConditionalGeneration,
        location,
        dtype=dtype,
        attn_implementation=spec.attn_implementation,
        **quantization_arguments(spec.quantization),
    )
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
    return make_formatter(spec, config=config, tokenizer=tokenizer, location=location, data_root=data_root)


def read_llava_config(location: Location) -> LlavaConfig:
    """Return the checkpoint's configuration, made sure to be a LLaVA of parts that are supported."""
    try:
        config = AutoConfig.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no model can be found there ({first_line(error)})",
            hint="give a folder with config.json, relative to the data root, or a hub name (which needs the network)",
        ) from error
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
        return LlavaForConditionalGeneration(config)


def make_formatter(
    spec: ImageLoading, *, config: LlavaConfig, tokenizer: Any, location: Location | None, data_root: Path
) -> ImageFormatter:
    """Return a LLaVA's formatter, with tokenizer, template, images and vocabulary made sure to fit each other.

    `location` is where an image processor is read from; without one, images are resized to a square.
    """
    template = read_template(spec.chat_template, data_root) if spec.chat_template else None
    image_token = _image_token(tokenizer, config)
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


def _image_token(tokenizer: Any, config: LlavaConfig) -> str:
    """Return the text of the image token; it must be one token, the one that the configuration names."""
    ids = tokenizer(IMAGE_TOKEN, add_special_tokens=False)["input_ids"]
    if ids != [config.image_token_id]:
        raise ModelError(
            f"the tokenizer turns {IMAGE_TOKEN} into {ids}, but the configuration's image token is "
            f"{config.image_token_id}: images would never reach the language model",
            hint="use the tokenizer that belongs to the checkpoint",
        )
    return IMAGE_TOKEN


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
    file = cached_file(
        location.name_or_path,
        "chat_template.json",
        revision=location.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return str(json.loads(Path(file).read_text("utf-8"))["chat_template"]) if file else None
