"""Where a part comes from: its configuration, its weights and its tokenizer, from a checkpoint or written out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from finesight.errors import ModelError
from finesight.models.configs import open_config
from finesight.models.location import Location, locate
from finesight.models.tokenizers import learn_tokenizer, load_tokenizer
from finesight.models.weights import load_weights
from finesight.processes import once
from finesight.recipe.model import PartSource, TokenizerSpec

_CHECKED_BY = re.compile(r"^(Class v|V)alidation error for .*?: (ValueError|TypeError): ")
"""What the library says before what is wrong."""
Texts = Callable[[], Iterable[str]]
"""Gives the training text, when a tokenizer has to be learned from it."""


def read_config(source: PartSource, where: str, data_root: Path, *, may_stand_in: bool = False) -> PreTrainedConfig:
    """Return the configuration of a checkpoint, or the one that is written out.

    `where` is the source's place in the recipe, as "model.vision"; `may_stand_in` lets a blueprint stand in for a
    checkpoint that is not on this machine. Raises `ModelError` where there is none.
    """
    if source.config is not None:
        return _written_config(source.config, where)
    return open_config(
        locate(str(source.name_or_path), source.revision, data_root),
        hint=f"{where}.name_or_path is a folder with config.json, relative to the data root, or a hub name",
        may_stand_in=may_stand_in,
    )


def make_language_model(
    source: PartSource, config: PreTrainedConfig, data_root: Path, **arguments: Any
) -> PreTrainedModel:
    """Return a causal language model: the checkpoint's, or random weights of `config`."""
    if source.config is not None:
        return AutoModelForCausalLM.from_config(config, **arguments)
    location = locate(str(source.name_or_path), source.revision, data_root)
    model: PreTrainedModel = load_weights(AutoModelForCausalLM, location, **arguments)
    return model


def choose_tokenizer(
    spec: TokenizerSpec,
    language: PartSource,
    *,
    data_root: Path,
    texts: Texts,
    saved: Path | None,
    extra_tokens: Sequence[str] = (),
) -> PreTrainedTokenizerBase:
    """Return the tokenizer that a recipe asks for; one that is learned has `extra_tokens`.

    `saved` is the folder in which an earlier start of the run has kept it.
    """
    if saved is not None:
        return load_tokenizer(str(saved), None)
    if spec.vocab_size is not None:
        return once(partial(learn_tokenizer, texts(), spec.vocab_size, extra_tokens))
    location = locate_tokenizer(spec, language, data_root)
    return load_tokenizer(location.name_or_path, location.revision)


def locate_tokenizer(spec: TokenizerSpec, language: PartSource, data_root: Path) -> Location:
    """Return where the tokenizer is that a recipe asks for: its own place, or the language model's.

    Raises `ModelError` where neither names one.
    """
    if spec.name_or_path is not None:
        return locate(spec.name_or_path, None, data_root)
    if language.name_or_path is not None:
        return locate(language.name_or_path, language.revision, data_root)
    raise ModelError(
        "a language model from a config brings no tokenizer",
        hint="give model.tokenizer: {vocab_size: 2000} to learn one, or {name_or_path: …}",
    )


def cast_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Put every weight into one number format, and leave the buffers as they are.

    `model.to(dtype)` would round the rotary frequencies too: in bfloat16 a token some hundred places on is then turned
    by the wrong angle. `from_pretrained` keeps them in float32 as well.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _written_config(written: dict[str, Any], where: str) -> PreTrainedConfig:
    """Return the configuration that a recipe writes out. Raises `ModelError` where transformers would guess."""
    settings = {name: value for name, value in written.items() if name != "model_type"}
    if "model_type" not in written:
        raise ModelError(f"{where}.config has no model_type", hint="e.g. model_type: llama")
    try:
        known = AutoConfig.for_model(written["model_type"]).to_dict().keys()
        config = AutoConfig.for_model(written["model_type"], **settings)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ModelError(
            f"{where}.config: {_CHECKED_BY.sub('', ' '.join(str(error).split()))}",
            hint="see transformers' documentation",
        ) from error
    if unknown := sorted(settings.keys() - known):
        # transformers keeps a misspelt setting and takes its default instead.
        close = difflib.get_close_matches(unknown[0], known, n=1)
        raise ModelError(
            f"{where}.config: a {written['model_type']} has no {', '.join(unknown)}",
            hint=f"did you mean {close[0]}?" if close else "see transformers' documentation",
        )
    return config
