"""Checkpoints of moondream2 as the hub has them, in miniature: both layouts, written tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Tensors = dict[str, torch.Tensor]

VISION_WIDTH, VISION_LAYERS, VISION_HEADS, VISION_INNER = 32, 2, 4, 48
SIZE, PATCH = 24, 8
SIDE = SIZE // PATCH
WIDTH, LAYERS, HEADS, INNER = 48, 2, 4, 96
PROJECTOR_INNER = 64
VOCABULARY = 400
REGION = {"coord_encoder.weight": (WIDTH, 8), "size_decoder.fc1.bias": (16,), "coord_features": (4, 1)}
TEXTS = ("what colour is it?", "red", "dark blue", "is it a square? yes or no", "how many things are there? seven")

CONFIG_2024 = {
    "architectures": ["Moondream"],
    "model_type": "moondream1",
    "text_config": {
        "model_type": "phi",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
    },
    "vision_config": {
        "hidden_size": VISION_WIDTH,
        "intermediate_size": VISION_INNER,
        "num_hidden_layers": VISION_LAYERS,
        "num_attention_heads": VISION_HEADS,
        "image_size": SIZE,
        "patch_size": PATCH,
    },
    "projector_hidden_size": PROJECTOR_INNER,
    "torch_dtype": "float32",
}
CONFIG_2025 = {
    "architectures": ["HfMoondream"],
    "model_type": "moondream1",
    "config": {
        "text": {
            "dim": WIDTH,
            "ff_dim": INNER,
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "n_kv_heads": HEADS,
            "vocab_size": VOCABULARY,
            "max_context": 512,
        },
        "vision": {
            "enc_dim": VISION_WIDTH,
            "enc_ff_dim": VISION_INNER,
            "enc_n_layers": VISION_LAYERS,
            "enc_n_heads": VISION_HEADS,
            "crop_size": SIZE,
            "enc_patch_size": PATCH,
            "proj_inner_dim": PROJECTOR_INNER,
            "overlap_margin": 1,
        },
    },
    "torch_dtype": "float32",
}


def write_moondream(folder: Path, layout: str, *, starmie: bool = False, prefix: str = "model.") -> Path:
    """Write a small moondream2 with random weights into `folder`; `prefix` stands before the names of 2025."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG_2024 if layout == "2024" else CONFIG_2025
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    learn_tokenizer(starmie=starmie).save(str(folder / "tokenizer.json"))
    save_file(random_tensors(layout, prefix), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def learn_tokenizer(*, starmie: bool = False) -> Tokenizer:
    """Return a byte-level BPE like GPT-2's, whose only special token ends texts; or one with starmie's own."""
    special = ["<|endoftext|>", *(f"<|md_reserved_{number}|>" for number in range(3))] if starmie else ["<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    return tokenizer


def random_tensors(layout: str, prefix: str = "model.") -> Tensors:
    """Return every tensor of a checkpoint of 2024 or 2025, by its published name, region head included."""
    generator = torch.Generator().manual_seed(11)
    shapes = dict(_shapes_2024() if layout == "2024" else _shapes_2025())
    region = "region_model." if layout == "2024" else "region."
    shapes |= {region + name: shape for name, shape in REGION.items()}
    before = "" if layout == "2024" else prefix
    return {before + name: _random(name, shape, generator) for name, shape in shapes.items()}


def _random(name: str, shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=generator)
    if len(shape) > 1:
        return drawn / shape[-1] ** 0.5
    return drawn / 10 + (1 if name.endswith(".weight") else 0)  # norms, and biases


Shaped = Iterator[tuple[str, tuple[int, ...]]]


def _layer(name: str, outputs: int, inputs: int | None = None) -> Shaped:
    """A linear layer, or without `inputs` a norm."""
    yield f"{name}.weight", (outputs,) if inputs is None else (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _shapes_2024() -> Shaped:
    visual = "vision_encoder.encoder.model.visual"
    yield from _layer(f"{visual}.patch_embed.linear", VISION_WIDTH, 3 * PATCH * PATCH)
    yield f"{visual}.pos_embed", (1, SIDE * SIDE, VISION_WIDTH)
    for number in range(VISION_LAYERS):
        block = f"{visual}.blocks.{number}"
        yield from _layer(f"{block}.norm1", VISION_WIDTH)
        yield from _layer(f"{block}.norm2", VISION_WIDTH)
        yield from _attention_and_mlp(block, "attn.qkv", "attn.proj", VISION_WIDTH, VISION_INNER)
    yield from _layer(f"{visual}.norm", VISION_WIDTH)
    yield from _layer("vision_encoder.projection.mlp.fc1", PROJECTOR_INNER, 2 * VISION_WIDTH)
    yield from _layer("vision_encoder.projection.mlp.fc2", WIDTH, PROJECTOR_INNER)
    yield "text_model.transformer.embd.wte.weight", (VOCABULARY, WIDTH)
    for number in range(LAYERS):
        block = f"text_model.transformer.h.{number}"
        yield from _layer(f"{block}.ln", WIDTH)
        yield from _attention_and_mlp(block, "mixer.Wqkv", "mixer.out_proj", WIDTH, INNER)
    yield from _layer("text_model.lm_head.ln", WIDTH)
    yield from _layer("text_model.lm_head.linear", VOCABULARY, WIDTH)


def _shapes_2025() -> Shaped:
    yield from _layer("vision.patch_emb", VISION_WIDTH, 3 * PATCH * PATCH)
    yield "vision.pos_emb", (1, SIDE * SIDE, VISION_WIDTH)
    for number in range(VISION_LAYERS):
        block = f"vision.blocks.{number}"
        yield from _layer(f"{block}.ln1", VISION_WIDTH)
        yield from _layer(f"{block}.ln2", VISION_WIDTH)
        yield from _attention_and_mlp(block, "attn.qkv", "attn.proj", VISION_WIDTH, VISION_INNER)
    yield from _layer("vision.post_ln", VISION_WIDTH)
    yield from _layer("vision.proj_mlp.fc1", PROJECTOR_INNER, 2 * VISION_WIDTH)
    yield from _layer("vision.proj_mlp.fc2", WIDTH, PROJECTOR_INNER)
    yield "text.wte", (VOCABULARY, WIDTH)
    for number in range(LAYERS):
        block = f"text.blocks.{number}"
        yield from _layer(f"{block}.ln", WIDTH)
        yield from _attention_and_mlp(block, "attn.qkv", "attn.proj", WIDTH, INNER)
    yield from _layer("text.post_ln", WIDTH)
    yield from _layer("text.lm_head", VOCABULARY, WIDTH)


def _attention_and_mlp(block: str, fused: str, out: str, width: int, inner: int) -> Shaped:
    yield from _layer(f"{block}.{fused}", 3 * width, width)
    yield from _layer(f"{block}.{out}", width, width)
    yield from _layer(f"{block}.mlp.fc1", inner, width)
    yield from _layer(f"{block}.mlp.fc2", width, inner)


def change_config(folder: Path, **settings: Any) -> None:
    """Set fields of a checkpoint's config.json."""
    file = folder / "config.json"
    content = {**json.loads(file.read_text(encoding="utf-8")), **settings}
    file.write_text(json.dumps(content), encoding="utf-8")
