"""The two ways in which published moondream2 checkpoints name and shape their tensors, and the way of the model here.

Names of 2024 are those of `modeling_phi.py` and `vision_encoder.py` of the revisions of that year, names of 2025 those
of `text.py` and `vision.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from finesight.models.moondream.config import Layout, MoondreamConfig

Shape = tuple[int, ...]
CARRIED: dict[Layout, str] = {"2024": "region_model.", "2025": "region."}
"""The beginning of the names of tensors that point at regions: nothing here uses them, and they are written back."""
HUB_PREFIX = "model."
"""Before every name of 2025 in what the hub has; what the original code itself saves has none."""


@dataclass(frozen=True)
class Entry:
    """A tensor of a checkpoint, and the parameters that it holds."""

    stored: str
    held: tuple[str, ...]
    """One name, or several whose parameters lie behind each other along the first axis."""
    form: Literal["same", "flat", "batched"] = "same"
    """`flat`: all axes but the first are one. `batched`: there is an axis of one before the first."""

    def store(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the tensor that is stored."""
        tensor = torch.cat([parameters[name] for name in self.held]) if len(self.held) > 1 else parameters[self.held[0]]
        match self.form:
            case "flat":
                return tensor.flatten(1)
            case "batched":
                return tensor[None]
            case "same":
                return tensor

    def hold(self, tensor: torch.Tensor, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the parameters that a stored tensor holds, each with its name."""
        sizes = [shapes[name][0] for name in self.held]
        whole = tensor.reshape(sum(sizes), *shapes[self.held[0]][1:])
        # Each is a tensor of its own: a view would keep the whole in memory.
        parts = torch.split(whole, sizes) if len(sizes) > 1 else (whole,)
        yield from (
            (name, part.clone() if len(sizes) > 1 else part) for name, part in zip(self.held, parts, strict=True)
        )


def entries(config: MoondreamConfig) -> list[Entry]:
    """Return every tensor of a checkpoint in the configuration's layout, without the prefix of the hub."""
    vision, text = config.vision_config.num_hidden_layers, config.text_config.num_hidden_layers
    return list(_of_2024(vision, text) if config.layout == "2024" else _of_2025(vision, text))


def _of_2024(vision_layers: int, text_layers: int) -> Iterator[Entry]:
    encoder, projector, text = "vision_encoder.encoder.model.visual", "vision_encoder.projection.mlp", "text_model"
    yield from _vision(f"{encoder}.patch_embed.linear", f"{encoder}.pos_embed", f"{encoder}.norm")
    for layer in range(vision_layers):
        yield from _vision_block(f"{encoder}.blocks.{layer}", layer, ("norm1", "norm2"))
    yield from _projector(projector)
    yield Entry(f"{text}.transformer.embd.wte.weight", (f"{_LANGUAGE}.embed_tokens.weight",))
    for layer in range(text_layers):
        names = {"ln": "input_layernorm", "mixer.Wqkv": "self_attn.Wqkv", "mixer.out_proj": "self_attn.out_proj"}
        yield from _text_block(f"{text}.transformer.h.{layer}", layer, names)
    yield from _linear(f"{text}.lm_head.ln", f"{_LANGUAGE}.final_layernorm")
    yield from _linear(f"{text}.lm_head.linear", "lm_head")


def _of_2025(vision_layers: int, text_layers: int) -> Iterator[Entry]:
    yield from _vision("vision.patch_emb", "vision.pos_emb", "vision.post_ln")
    for layer in range(vision_layers):
        yield from _vision_block(f"vision.blocks.{layer}", layer, ("ln1", "ln2"))
    yield from _projector("vision.proj_mlp")
    yield Entry("text.wte", (f"{_LANGUAGE}.embed_tokens.weight",))
    for layer in range(text_layers):
        names = {"ln": "input_layernorm", "attn.qkv": "self_attn.Wqkv", "attn.proj": "self_attn.out_proj"}
        yield from _text_block(f"text.blocks.{layer}", layer, names)
    yield from _linear("text.post_ln", f"{_LANGUAGE}.final_layernorm")
    yield from _linear("text.lm_head", "lm_head")


_VISION, _LANGUAGE = "model.vision_tower", "model.language_model"


def _linear(stored: str, *held: str) -> Iterator[Entry]:
    for kind in ("weight", "bias"):
        yield Entry(f"{stored}.{kind}", tuple(f"{name}.{kind}" for name in held))


def _vision(patches: str, positions: str, norm: str) -> Iterator[Entry]:
    embeddings = f"{_VISION}.embeddings"
    # A patch is a vector there, and a small picture (channels, rows, columns) here.
    yield Entry(f"{patches}.weight", (f"{embeddings}.patch_embedding.weight",), form="flat")
    yield Entry(f"{patches}.bias", (f"{embeddings}.patch_embedding.bias",))
    yield Entry(positions, (f"{embeddings}.position_embedding.weight",), form="batched")
    yield from _linear(norm, f"{_VISION}.post_layernorm")


def _vision_block(stored: str, layer: int, norms: tuple[str, str]) -> Iterator[Entry]:
    held = f"{_VISION}.encoder.layers.{layer}"
    for number, norm in enumerate(norms, start=1):
        yield from _linear(f"{stored}.{norm}", f"{held}.layer_norm{number}")
    yield from _linear(f"{stored}.attn.qkv", *(f"{held}.self_attn.{letter}_proj" for letter in "qkv"))
    yield from _linear(f"{stored}.attn.proj", f"{held}.self_attn.out_proj")
    yield from _mlp(stored, held)


def _projector(stored: str) -> Iterator[Entry]:
    for name in ("fc1", "fc2"):
        yield from _linear(f"{stored}.{name}", f"model.multi_modal_projector.{name}")


def _text_block(stored: str, layer: int, names: Mapping[str, str]) -> Iterator[Entry]:
    held = f"{_LANGUAGE}.layers.{layer}"
    for theirs, ours in names.items():
        yield from _linear(f"{stored}.{theirs}", f"{held}.{ours}")
    yield from _mlp(stored, held)


def _mlp(stored: str, held: str) -> Iterator[Entry]:
    for name in ("fc1", "fc2"):
        yield from _linear(f"{stored}.mlp.{name}", f"{held}.mlp.{name}")


def find_layout(names: Iterable[str]) -> tuple[Layout | None, str]:
    """Return the layout that a checkpoint's tensor names speak of, and the prefix before them; None for neither."""
    names = set(names)
    if any(name.startswith("text_model.") for name in names):
        return "2024", ""
    for prefix in (HUB_PREFIX, ""):
        if any(name.startswith(f"{prefix}text.") for name in names):
            return "2025", prefix
    return None, ""
