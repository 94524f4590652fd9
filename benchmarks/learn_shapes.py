"""What a small vision encoder needs to learn shapes: the size of its patches, and the number of its heads.

python benchmarks/learn_shapes.py            # prints a table; --pictures 20000 for longer curves

Every encoder sees the same pictures of one object in the same order, and names shape, colour and size from the mean of
its features: recipes/starter/pretrain.yaml has many small patches and many heads for what this shows.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import CLIPVisionConfig, CLIPVisionModel

from finesight.data.scenes.draw import draw_scene
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.world import COLOURS, SHAPES, SIZES, Scene

BATCH = 16
LAST = 100
"""Batches at the end over which a loss is averaged."""
NAMES = (SHAPES, COLOURS, SIZES)


@dataclass(frozen=True)
class Encoder:
    """What is varied."""

    image_size: int
    patch_size: int
    heads: int


ENCODERS = (
    Encoder(96, 12, 4),
    Encoder(80, 8, 4),
    Encoder(80, 8, 8),
    Encoder(80, 8, 16),
    Encoder(60, 5, 4),
    Encoder(60, 5, 16),
    Encoder(48, 4, 16),
)


def main() -> None:
    """Train each encoder and print where it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=12_000)
    pictures = parser.parse_args().pictures
    print(f"Loss in nats after {pictures:,} pictures of one object; a guess has 1.61, 2.08 and 1.10.")
    print(
        f"{'pixels':>6} {'patch':>6} {'tokens':>7} {'heads':>6} {'shape':>7} {'colour':>7} {'size':>7} {'seconds':>8}"
    )
    for encoder in ENCODERS:
        started = time.monotonic()
        losses = train(encoder, pictures)
        tokens = (encoder.image_size // encoder.patch_size) ** 2
        print(
            f"{encoder.image_size:6} {encoder.patch_size:6} {tokens:7} {encoder.heads:6} "
            + " ".join(f"{loss:7.2f}" for loss in losses)
            + f" {time.monotonic() - started:8.0f}",
            flush=True,
        )


def train(encoder: Encoder, pictures: int) -> list[float]:
    """Return the loss of shape, colour and size over the last batches."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=encoder.heads,
        image_size=encoder.image_size,
        patch_size=encoder.patch_size,
    )
    tower, head = CLIPVisionModel(config), nn.Linear(128, sum(map(len, NAMES)))
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50))
    seen: list[list[float]] = []
    for pixels, labels in itertools.islice(batches(encoder.image_size), pictures // BATCH):
        scores = head(tower(pixel_values=pixels).last_hidden_state.mean(1)).split([len(names) for names in NAMES], 1)
        losses = [cross_entropy(score, label) for score, label in zip(scores, labels.T, strict=True)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        seen.append([float(loss) for loss in losses])
    return [float(loss) for loss in np.mean(seen[-LAST:], axis=0)]


def batches(size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield float[16, 3, size, size] pixels and int[16, 3] labels, without end."""
    alone = (scene for scene in map(plan_scene, itertools.count()) if len(scene.things) == 1)
    for scenes in iter(lambda: list(itertools.islice(alone, BATCH)), []):
        drawn = np.stack([np.asarray(draw_scene(scene, size)) for scene in scenes])
        pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
        yield pixels, torch.tensor([label(scene) for scene in scenes])


def label(scene: Scene) -> tuple[int, int, int]:
    """Return the places of the only object's shape, colour and size among their names."""
    (thing,) = scene.things
    return SHAPES.index(thing.shape), COLOURS.index(thing.colour), SIZES.index(thing.size)


if __name__ == "__main__":
    main()
