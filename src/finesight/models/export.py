"""A model as a folder that transformers loads by itself: weights, tokenizer, processor, template, where answers end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LlavaProcessor, PreTrainedTokenizerBase, ProcessorMixin, TokenizersBackend

from finesight.models.families import has_class_token
from finesight.models.hf.formatter import HfFormatter
from finesight.models.image_formatter import ImageFormatter
from finesight.models.load import choose_dtype
from finesight.models.loaded import Loaded
from finesight.models.moondream.checkpoint import checkpoint_of, save_moondream
from finesight.models.part_sources import cast_weights, read_config
from finesight.recipe.model import AssembledModel, HfModel, LlavaModel, Model, MoondreamModel, PartSource, TextModel


def save_checkpoint(spec: Model, loaded: Loaded, folder: Path, dtype: torch.dtype) -> None:
    """Write the model, which has neither adapters nor 4-bit weights, into `folder` in one number format.

    Its own weights are put into that format too. Raises `OSError`, `SafetensorError` or `WriteError` when the disk is
    full.
    """
    cast_weights(loaded.model, dtype)
    _end_answers(loaded)
    match spec:
        case LlavaModel() | AssembledModel():
            loaded.model.save_pretrained(folder)
            _llava_processor(loaded).save_pretrained(folder)
        case HfModel():
            loaded.model.save_pretrained(folder)
            _own_processor(loaded).save_pretrained(folder)
        case TextModel():
            loaded.model.save_pretrained(folder)
            save_tokenizer(loaded.formatter.tokenizer, folder)
        case MoondreamModel():
            save_moondream(loaded, folder)


def exported_spec(spec: Model, folder: Path) -> Model:
    """Return the `model:` section that loads what `save_checkpoint` wrote, whole and by its own template."""
    common: dict[str, Any] = {
        "name_or_path": str(folder.resolve()),
        "dtype": spec.dtype,
        "attn_implementation": spec.attn_implementation,
        "system_prompt": spec.system_prompt,
    }
    match spec:
        case LlavaModel() | AssembledModel():
            return LlavaModel(kind="llava", **common)
        case HfModel():
            return HfModel(kind="hf", rows=spec.rows, **common)
        case TextModel():
            return TextModel(kind="text", **common)
        case MoondreamModel():
            # The original layout has no place for a template; the recipe's says how the model is asked.
            return MoondreamModel(kind="moondream", crops=spec.crops, chat_template=spec.chat_template, **common)


def published_dtype(spec: Model, loaded: Loaded, data_root: Path) -> torch.dtype:
    """Return the number format of the checkpoint that the model came from; of random numbers, that of the run."""
    match spec:
        case MoondreamModel():
            checkpoint = checkpoint_of(loaded)
            first = min(checkpoint.files.keys() - set(checkpoint.carried))
            return checkpoint.read([first])[first].dtype
        case LlavaModel() | HfModel():
            source = PartSource(name_or_path=spec.name_or_path, revision=spec.revision)
        case AssembledModel():
            source = spec.language
        case TextModel():
            source = spec
    own = loaded.model.dtype if source.config is not None else read_config(source, "model", data_root).dtype
    # A checkpoint that says nothing of it is in float32.
    return own if isinstance(own, torch.dtype) else choose_dtype(str(own or "float32").removeprefix("torch."))


def image_token_of(spec: Model, loaded: Loaded) -> str:
    """Return what stands for an image in a conversation; nothing for a model that sees none."""
    match spec:
        case TextModel():
            return ""
        case HfModel():
            return str(_own_processor(loaded).image_token)
        case _:
            return str(loaded.formatter.tokenizer.convert_ids_to_tokens(loaded.formatter.placeholder_id))


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer. Raises `OSError` when the disk is full."""
    if isinstance(tokenizer, TokenizersBackend):
        # The library itself raises a bare Exception on a full disk; so the largest file finds its room here first.
        (folder / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(pretty=True), encoding="utf-8")
    tokenizer.save_pretrained(folder)


def _end_answers(loaded: Loaded) -> None:
    """Let `generate` answer as it was measured: greedily, to the same end, and without image tokens.

    What a checkpoint advises for drawing at random is left behind.
    """
    placeholder = loaded.formatter.placeholder_id
    loaded.model.generation_config = GenerationConfig(
        bos_token_id=loaded.formatter.tokenizer.bos_token_id,
        eos_token_id=sorted(loaded.formatter.end_ids),
        pad_token_id=loaded.formatter.tokenizer.pad_token_id,
        suppress_tokens=None if placeholder is None else [placeholder],
    )


def _own_processor(loaded: Loaded) -> ProcessorMixin:
    """Return the processor that the checkpoint came with, with the template that the run asked by."""
    assert isinstance(loaded.formatter, HfFormatter)
    processor = loaded.formatter.processor.processor
    processor.chat_template = loaded.formatter.tokenizer.chat_template
    return processor


def _llava_processor(loaded: Loaded) -> LlavaProcessor:
    """Return transformers' own processor with the numbers that old checkpoints lack, and a wrong default hides."""
    formatter, config = loaded.formatter, loaded.model.config
    assert isinstance(formatter, ImageFormatter)
    return LlavaProcessor(
        formatter.image_processor,
        formatter.tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(has_class_token(config.vision_config)),
        chat_template=formatter.tokenizer.chat_template,
        image_token=formatter.tokenizer.convert_ids_to_tokens(config.image_token_id),
    )
