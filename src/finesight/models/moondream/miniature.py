"""moondream2 in miniature: a checkpoint in the layout of the real one, small enough for a minute on a laptop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from finesight.data.standins.rows import stand_in_texts
from finesight.models.at_hand import Checkpoint, find_cached, find_checkpoint
from finesight.models.moondream.checkpoint import stored_tensors
from finesight.models.moondream.config import CONFIG_FILE, MoondreamConfig, published_settings
from finesight.models.moondream.formatter import (
    CODE_FILE,
    END_TOKEN,
    STARMIE,
    TOKENIZER_FILE,
    is_starmie,
    read_tokenizer,
)
from finesight.models.moondream.layouts import HUB_PREFIX
from finesight.models.moondream.model import MoondreamForConditionalGeneration
from finesight.models.shrink import WIDTH, smaller_language, smaller_vision
from finesight.models.tokenizers import learn_tokenizer
from finesight.recipe.model import MoondreamModel

_VOCABULARY = 400
_STARMIE_TOKENS = tuple(f"<|md_reserved_{number}|>" for number in range(3))
_FIRST_STARMIE_MONTH = "2025-06"


def smaller_moondream(config: MoondreamConfig, vocabulary: int | None) -> MoondreamConfig:
    """Return the configuration in miniature, with embeddings for `vocabulary` tokens, or as many as it has."""
    text: dict[str, Any] = {**config.text_config.to_dict(), **smaller_language(config.text_config)}
    text.pop("head_dim", None)  # heads share the width evenly
    return MoondreamConfig(
        vision_config={**config.vision_config.to_dict(), **smaller_vision(config.vision_config)},
        text_config={**text, "vocab_size": vocabulary or config.text_config.vocab_size},
        generation=config.generation,
        layout=config.layout,
        projector_hidden_size=2 * WIDTH,
        projector_views=config.projector_views,
        overlap_patches=min(config.overlap_patches, 1),
        most_crops=config.most_crops,
    )


def find_tokenizer(
    spec: MoondreamModel, found: Checkpoint | None, data_root: Path
) -> tuple[PreTrainedTokenizerBase, bool]:
    """Return the tokenizer of the recipe's model, and whether it is its own: else a small one of the same prompt.

    The network is not asked. The revision's name says whose prompt it is where nothing else is on this machine.
    """
    if spec.tokenizer is not None:
        given = find_checkpoint(spec.tokenizer, None, data_root, file=TOKENIZER_FILE)
        return _own_or_learned(given, starmie=spec.tokenizer == STARMIE)
    if found is None:
        return _learn(starmie=(spec.revision or "main") >= _FIRST_STARMIE_MONTH), False
    code = found.folder / CODE_FILE
    starmie = code.is_file() and STARMIE in code.read_text(encoding="utf-8")
    own = found if (found.folder / TOKENIZER_FILE).is_file() else None
    if starmie and not (own and is_starmie(_read(own))):
        own = find_cached(STARMIE, None, TOKENIZER_FILE)
    return _own_or_learned(own, starmie=starmie)


def write_random(config: MoondreamConfig, tokenizer: PreTrainedTokenizerBase, folder: Path) -> int:
    """Write a checkpoint of random weights into `folder`, and return how many parameters it has."""
    model = MoondreamForConditionalGeneration(config)
    tensors = stored_tensors(model, config, HUB_PREFIX if config.layout == "2025" else "")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / CONFIG_FILE).write_text(json.dumps(published_settings(config), indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def _own_or_learned(own: Checkpoint | None, *, starmie: bool) -> tuple[PreTrainedTokenizerBase, bool]:
    return (_read(own), True) if own else (_learn(starmie=starmie), False)


def _read(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    return read_tokenizer(checkpoint.folder / TOKENIZER_FILE)


def _learn(*, starmie: bool) -> PreTrainedTokenizerBase:
    return learn_tokenizer(stand_in_texts(), _VOCABULARY, (END_TOKEN, *(_STARMIE_TOKENS if starmie else ())))
