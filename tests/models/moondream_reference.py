"""moondream2's forward pass as its published description has it, in plain torch, on the published tensors.

It knows nothing of the package: sizes come from the tensors, and from the making of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from moondream_making import HEADS, PATCH, VISION_HEADS

Tensors = Mapping[str, torch.Tensor]
NAMES = {
    "2024": {
        "patches": "vision_encoder.encoder.model.visual.patch_embed.linear",
        "positions": "vision_encoder.encoder.model.visual.pos_embed",
        "vision block": "vision_encoder.encoder.model.visual.blocks",
        "vision norms": ("norm1", "norm2"),
        "vision end": "vision_encoder.encoder.model.visual.norm",
        "projector": "vision_encoder.projection.mlp",
        "embedding": "text_model.transformer.embd.wte.weight",
        "text block": "text_model.transformer.h",
        "fused": "mixer.Wqkv",
        "out": "mixer.out_proj",
        "text end": "text_model.lm_head.ln",
        "head": "text_model.lm_head.linear",
    },
    "2025": {
        "patches": "vision.patch_emb",
        "positions": "vision.pos_emb",
        "vision block": "vision.blocks",
        "vision norms": ("ln1", "ln2"),
        "vision end": "vision.post_ln",
        "projector": "vision.proj_mlp",
        "embedding": "text.wte",
        "text block": "text.blocks",
        "fused": "attn.qkv",
        "out": "attn.proj",
        "text end": "text.post_ln",
        "head": "text.lm_head",
    },
}


class Reference:
    """A checkpoint of one of the two years, computed step by step."""

    def __init__(self, tensors: Tensors, year: str) -> None:
        self.tensors = {name.removeprefix("model."): tensor.double() for name, tensor in tensors.items()}
        self.year = year
        self.names = NAMES[year]

    def logits(self, image: torch.Tensor | None, before: Sequence[int], behind: Sequence[int]) -> torch.Tensor:
        """Tokens, the projected image, tokens: float64[tokens, vocabulary]."""
        table = self.tensors[str(self.names["embedding"])]
        pieces = [table[list(before)], *([] if image is None else [image]), table[list(behind)]]
        hidden = torch.cat(pieces)
        two_way = len(before) + len(image) if self.year == "2025" and image is not None else 0
        seen = [[j <= i or (i < two_way and j < two_way) for j in range(len(hidden))] for i in range(len(hidden))]
        count = self._count("text block")
        for number in range(count):
            block = f"{self.names['text block']}.{number}"
            normed = self._norm(hidden, f"{block}.ln")
            attended = self._attend(normed, block, str(self.names["fused"]), str(self.names["out"]), HEADS, seen)
            hidden = hidden + attended + self._mlp(normed, f"{block}.mlp")
        return self._linear(self._norm(hidden, str(self.names["text end"])), str(self.names["head"]))

    def features(self, picture: torch.Tensor) -> torch.Tensor:
        """The encoder's features of a picture float[3, size, size]: float64[patches, width]."""
        side = picture.shape[1] // PATCH
        patches = [
            picture[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH].flatten()
            for row in range(side)
            for column in range(side)
        ]
        hidden = self._linear(torch.stack(patches).double(), str(self.names["patches"]))
        hidden = hidden + self.tensors[str(self.names["positions"])][0]
        first, second = self.names["vision norms"]
        for number in range(self._count("vision block")):
            block = f"{self.names['vision block']}.{number}"
            normed = self._norm(hidden, f"{block}.{first}")
            hidden = hidden + self._attend(normed, block, "attn.qkv", "attn.proj", VISION_HEADS, None)
            hidden = hidden + self._mlp(self._norm(hidden, f"{block}.{second}"), f"{block}.mlp")
        return self._norm(hidden, str(self.names["vision end"]))

    def project(self, whole: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
        """What stands for an image in the text, of the features of the whole and of its crops."""
        return self._mlp(torch.cat([whole, local], dim=1), str(self.names["projector"]))

    def _count(self, block: str) -> int:
        start = f"{self.names[block]}."
        return len({name.removeprefix(start).split(".")[0] for name in self.tensors if name.startswith(start)})

    def _linear(self, inputs: torch.Tensor, name: str) -> torch.Tensor:
        return inputs @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _norm(self, inputs: torch.Tensor, name: str) -> torch.Tensor:
        centred = inputs - inputs.mean(dim=-1, keepdim=True)
        deviation = (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return centred / deviation * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def _mlp(self, inputs: torch.Tensor, name: str) -> torch.Tensor:
        inner = self._linear(inputs, f"{name}.fc1")
        bent = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        return self._linear(bent, f"{name}.fc2")

    def _attend(
        self,
        inputs: torch.Tensor,
        block: str,
        fused: str,
        out: str,
        heads: int,
        seen: list[list[bool]] | None,
    ) -> torch.Tensor:
        size = inputs.shape[1] // heads
        queries, keys, values = self._linear(inputs, f"{block}.{fused}").split(inputs.shape[1], dim=1)
        outputs = []
        for head in range(heads):
            query, key, value = (part[:, head * size : (head + 1) * size] for part in (queries, keys, values))
            if seen is not None:  # text: half of each head is turned by its position
                query, key = turn(query), turn(key)
            scores = query @ key.T / math.sqrt(size)
            if seen is not None:
                scores = scores.masked_fill(~torch.tensor(seen), -torch.inf)
            outputs.append(scores.softmax(dim=1) @ value)
        return self._linear(torch.cat(outputs, dim=1), f"{block}.{out}")


def turn(vectors: torch.Tensor) -> torch.Tensor:
    """Rotary positions as in Phi-1.5: the first half of float[tokens, size], as complex numbers of its two halves."""
    turned, kept = vectors.chunk(2, dim=1)
    real, imaginary = turned.chunk(2, dim=1)
    numbers = torch.complex(real.contiguous(), imaginary.contiguous())
    count = numbers.shape[1]
    speeds = 10000.0 ** (-torch.arange(count, dtype=torch.double) / count)
    angles = torch.arange(len(vectors), dtype=torch.double)[:, None] * speeds
    numbers = numbers * torch.exp(1j * angles)
    return torch.cat([numbers.real, numbers.imag, kept], dim=1)


def put_together(crops: Sequence[torch.Tensor], rows: int, columns: int, margin: int, side: int) -> torch.Tensor:
    """The features of crops, each float[side², width], on one sheet, and averaged down to float[side², width]."""
    window = side - 2 * margin
    high, wide = rows * window + 2 * margin, columns * window + 2 * margin
    sheet = torch.zeros(high, wide, crops[0].shape[1], dtype=torch.double)
    for number, crop in enumerate(crops):
        row, column = divmod(number, columns)
        for y in range(side):
            for x in range(side):
                edge_above, edge_below = y < margin and row > 0, y >= side - margin and row < rows - 1
                edge_left, edge_right = x < margin and column > 0, x >= side - margin and column < columns - 1
                if not (edge_above or edge_below or edge_left or edge_right):
                    sheet[row * window + y, column * window + x] = crop[y * side + x]
    cells = []
    for y in range(side):
        top, bottom = y * high // side, -(-(y + 1) * high // side)
        for x in range(side):
            left, right = x * wide // side, -(-(x + 1) * wide // side)
            cells.append(sheet[top:bottom, left:right].mean(dim=(0, 1)))
    return torch.stack(cells)
