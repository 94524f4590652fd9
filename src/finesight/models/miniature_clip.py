"""The CLIP of a rehearsal: as small as the rehearsed model, and as random."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from finesight.data.standins.places import Places
from finesight.errors import ModelError
from finesight.models.at_hand import IMAGE_PROCESSOR_FILES, TOKENIZER_FILES, find_checkpoint
from finesight.models.load import silence_libraries
from finesight.models.shrink import smaller_checkpoint
from finesight.recipe.evaluate import ClipCheckpoint


def make_miniature_clip(
    spec: ClipCheckpoint, *, data_root: Path, folder: Path, places: Places, seed: int
) -> tuple[str, ...]:
    """Write the recipe's CLIP in miniature into its place in `folder`, and return what was replaced, in words.

    Nothing is downloaded: one that is not on this machine is assumed to be ViT-B/32. Raises `ModelError` for a
    checkpoint that is no CLIP.
    """
    silence_libraries()
    found = find_checkpoint(spec.name_or_path, spec.revision, data_root)
    real = AutoConfig.from_pretrained(found.folder) if found else CLIPConfig()
    if not isinstance(real, CLIPConfig):
        raise ModelError(f"clip: {spec.name_or_path}: no CLIP, but {real.model_type}", hint="name a whole CLIP")
    config = smaller_checkpoint(real)
    # Pictures are prepared by the checkpoint's own settings, for encoders of its own size.
    config.vision_config.image_size = real.vision_config.image_size
    target = folder / places.of(spec.name_or_path)
    if found:
        found.copy_settings(target)
    if found is None or found.lacks(TOKENIZER_FILES):
        tokenizer = spell_bytes()
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        config.text_config.update({"vocab_size": len(tokenizer), **ends})
        tokenizer.save_pretrained(target)
    if found is None or found.lacks(IMAGE_PROCESSOR_FILES):
        side = config.vision_config.image_size
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(
            target
        )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(target)
    replaced = f"clip: {places.of(spec.name_or_path)}: a miniature, of random parameters"
    if found:
        return (replaced,)
    return (f"warning: {spec.name_or_path} is not on this machine: a CLIP ViT-B/32 is ASSUMED", replaced)


def spell_bytes() -> CLIPTokenizer:
    """Return a tokenizer of CLIP's kind whose tokens are the 256 bytes, within a word and at its end."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
