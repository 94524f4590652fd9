"""From a recipe's `model:` section to a model: the one place where its number format is decided."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from finesight.models.assemble import assembled_formatter, described_config, load_assembled
from finesight.models.formatter import Formatter
from finesight.models.hf.load import family_of, hf_formatter, load_hf, meta_hf, read_hf_config
from finesight.models.llava import LLAVA_PARTS, llava_formatter, load_llava, meta_llava, read_llava_config
from finesight.models.loaded import Loaded
from finesight.models.location import locate
from finesight.models.moondream.load import (
    MOONDREAM_PARTS,
    describe_moondream,
    load_moondream,
    load_moondream_formatter,
    meta_moondream,
)
from finesight.models.part_sources import Texts
from finesight.models.parts import PartMap
from finesight.models.positions import resize_positions
from finesight.models.quantize import require_quantizable
from finesight.models.text import TEXT_PARTS, load_text, meta_text, read_text_config, text_formatter
from finesight.recipe.model import AssembledModel, HfModel, LlavaModel, Model, MoondreamModel, TextModel


def load_model(
    spec: Model,
    *,
    data_root: Path,
    seed: int = 0,
    texts: Texts = tuple,
    saved: Path | None = None,
) -> Loaded:
    """Return the recipe's model on the device that this machine offers, in one number format, ready to evaluate.

    Raises `ModelError` where it is not there, incomplete, or cannot be quantised as the recipe says.
    """
    silence_libraries()
    require_quantizable(spec)
    dtype = choose_dtype(spec.dtype)
    match spec:
        case LlavaModel():
            loaded = load_llava(spec, data_root=data_root, dtype=dtype)
        case AssembledModel():
            loaded = load_assembled(spec, data_root=data_root, dtype=dtype, seed=seed, texts=texts, saved=saved)
        case TextModel():
            loaded = load_text(spec, data_root=data_root, dtype=dtype, seed=seed, texts=texts, saved=saved)
        case HfModel():
            loaded = load_hf(spec, data_root=data_root, dtype=dtype)
        case MoondreamModel():
            loaded = load_moondream(spec, data_root=data_root, dtype=dtype)
    loaded.model.to(choose_device())
    loaded.model.eval()
    return loaded


def load_formatter(spec: Model, *, data_root: Path, texts: Texts = tuple) -> Formatter:
    """Return how the recipe's model is spoken to, the same as `load_model` gives it, without its weights."""
    silence_libraries()
    match spec:
        case TextModel():
            config = read_text_config(spec, data_root)
            return text_formatter(spec, config, data_root=data_root, texts=texts, saved=None)
        case LlavaModel():
            model, _ = describe_model(spec, data_root=data_root)
            return llava_formatter(spec, model.config, data_root)
        case AssembledModel():
            return assembled_formatter(spec, data_root=data_root, texts=texts)
        case HfModel():
            return hf_formatter(spec, read_hf_config(locate(spec.name_or_path, spec.revision, data_root)), data_root)
        case MoondreamModel():
            return load_moondream_formatter(spec, data_root)


def describe_model(spec: Model, *, data_root: Path, may_stand_in: bool = False) -> tuple[PreTrainedModel, PartMap]:
    """Return the recipe's model without weights (on the meta device), and the map of its parts.

    With `may_stand_in`, a blueprint stands in for a checkpoint that is not on this machine.
    """
    match spec:
        case TextModel():
            return meta_text(read_text_config(spec, data_root, may_stand_in=may_stand_in)), TEXT_PARTS
        case MoondreamModel():
            return meta_moondream(describe_moondream(spec, data_root, may_stand_in=may_stand_in)), MOONDREAM_PARTS
        case HfModel():
            location = locate(spec.name_or_path, spec.revision, data_root)
            hf_config = read_hf_config(location, may_stand_in=may_stand_in)
            family = family_of(hf_config, str(location))
            return meta_hf(hf_config), family.parts
        case LlavaModel():
            location = locate(spec.name_or_path, spec.revision, data_root)
            config = read_llava_config(location, may_stand_in=may_stand_in)
        case AssembledModel():
            config = described_config(spec, data_root, may_stand_in=may_stand_in)
    model = meta_llava(config)
    if spec.image_size is not None:
        resize_positions(model.model.vision_tower, spec.image_size)
    return model, LLAVA_PARTS


def silence_libraries() -> None:
    """Keep transformers' own advice and progress bars out of the log: what matters finesight says itself."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def choose_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(name: str) -> torch.dtype:
    """Return the number format; `auto` is bfloat16 on a GPU that has it, else float32 (bfloat16 is slow on CPUs)."""
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return formats[name]
