"""Write the model that the text starter begins as: a tokenizer, and random weights with numbers on a line.

python tools/begin_text.py runs/text-starter-begin       # recipes/text-starter/pretrain.yaml reads it

The tokenizer is learned from captions, and has a token for nearly every number of the canvas. Begun as random numbers
they have nothing in common, not even 97 and 98, and sizes, which are differences of numbers, are learned very late. So
a wave of each of several lengths along the numbers is added to them: what is near begins near.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from finesight.data.scenes.vector import CANVAS
from finesight.data.sources.scenes import read_scenes
from finesight.models.export import save_tokenizer
from finesight.models.tokenizers import learn_tokenizer
from finesight.opening import training_texts
from finesight.recipe.sources import Scenes

VOCABULARY = 1024
SPOKEN = Scenes(
    kind="scenes",
    context="svg",
    languages=("en", "ru"),
    scenes=10_000,
    first_scene=4_000_000,
    questions_per_scene=0,
    captions_per_scene=1,
)
SEED = 42
WAVES = 8
WAVE_HEIGHT = 0.5
"""Beside the embeddings' standard deviation of 0.06."""


def main() -> None:
    """Write the model into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    tokenizer = learn_tokenizer(training_texts(read_scenes(SPOKEN)), VOCABULARY, ())
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(make_config(tokenizer))
    put_numbers_on_a_line(model, tokenizer)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def make_config(tokenizer: PreTrainedTokenizerBase) -> LlamaConfig:
    """Return the sizes of the model, which speaks with the tokenizer."""
    return LlamaConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        vocab_size=VOCABULARY,
        max_position_embeddings=2048,
        initializer_range=0.06,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def put_numbers_on_a_line(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add waves of lengths from twice the canvas down, halved each time, to the embeddings of whole numbers."""
    vocabulary = tokenizer.get_vocab()
    numbers = [number for number in range(CANVAS + 1) if str(number) in vocabulary]
    turns = torch.tensor([[number / (2 * CANVAS) * 2**wave for wave in range(WAVES)] for number in numbers])
    angles = 2 * torch.pi * turns
    waves = torch.cat([angles.sin(), angles.cos()], dim=1) * WAVE_HEIGHT
    with torch.no_grad():
        for number, row in zip(numbers, waves, strict=True):
            model.get_input_embeddings().weight[vocabulary[str(number)], : 2 * WAVES] += row


if __name__ == "__main__":
    main()
