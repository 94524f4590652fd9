"""Teach a small vision encoder what lies where in a scene: the eyes of the starter.

python tools/pretrain_vision.py runs/starter-vision      # the same command again goes on where it stopped

A linear layer names, for every patch, the object that covers the patch's middle: its shape, colour, size and rim,
whether the object's own middle lies in the patch, the patch's own row and column, and what is printed on the sheet. An
encoder loses what it is never asked: without row and column the language model cannot tell left from right, without
rims and sheets it cannot be tuned to name them. A caption gives a picture some dozen words to
learn from, and the language model has to learn what they mean at the same time; this gives a hundred labels, and leads
straight to them. The layer is thrown away, the encoder is written as any CLIP vision encoder:
recipes/starter/pretrain.yaml reads it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

from finesight.data.scenes.draw import draw_scene
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.world import COLOURS, RIMS, SHAPES, SHEETS, SIZES, Scene
from finesight.rundir import write_text
from finesight.runtime import say
from finesight.train.muon import MuonWithAdamW, embeddings_of, is_muons

CONFIG = CLIPVisionConfig(
    hidden_size=192,
    intermediate_size=768,
    num_hidden_layers=4,
    num_attention_heads=16,
    image_size=72,
    patch_size=6,
)
PATCHES = CONFIG.image_size // CONFIG.patch_size
"""Along one side of a picture."""
QUESTIONS = ("shape", "colour", "size", "rim", "middle", "row", "column", "sheet")
ANSWERS = (len(SHAPES), len(COLOURS), len(SIZES), len(RIMS), 2, PATCHES, PATCHES, len(SHEETS))
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 5.0, 0.5, 0.5, 0.5)
"""Of each question in the loss. Very few patches are middles."""
FIRST_SCENE = 8_000_000
"""Of scenes that no recipe asks about."""
SEED = 42
BATCH = 16
LEARNING_RATE = 6e-3
ADAMW_LEARNING_RATE = 1e-3
WARMUP_STEPS = 50
LOGGING_STEPS = 100
"""The state is saved as often."""
IGNORED = -100


class Patches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Scenes as float[3, size, size] pixels and the labels of their patches."""

    def __init__(self, first: int, pictures: int) -> None:
        self.first = first
        self.pictures = pictures
        self.processor = make_processor()

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        scene = plan_scene(self.first + place)
        picture = draw_scene(scene, CONFIG.image_size)
        return self.processor(images=picture, return_tensors="pt")["pixel_values"][0], label_patches(scene)


def main() -> None:
    """Teach the encoder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="where the encoder, its curve and the state of training are kept")
    parser.add_argument("--pictures", type=int, default=48_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    encoder, names = CLIPVisionModel(CONFIG), nn.Linear(CONFIG.hidden_size, sum(ANSWERS))
    curve = teach(encoder, names, arguments.folder / "state.pt", arguments.pictures)
    encoder.save_pretrained(arguments.folder)
    make_processor().save_pretrained(arguments.folder)
    record = {"pictures": arguments.pictures, "first_scene": FIRST_SCENE, "seed": SEED, "loss": curve}
    write_text(arguments.folder / "pretraining.json", json.dumps(record, indent=1) + "\n")


def make_processor() -> CLIPImageProcessorPil:
    """Return how pictures are prepared: as for an encoder without a processor of its own."""
    side = {"height": CONFIG.image_size, "width": CONFIG.image_size}
    return CLIPImageProcessorPil(size=side, do_center_crop=False)


def teach(encoder: CLIPVisionModel, names: nn.Linear, state: Path, pictures: int) -> list[dict[str, float]]:
    """Return the losses along the way, each the mean of `LOGGING_STEPS` steps. Goes on from `state` where it exists."""
    taught = nn.ModuleList([encoder, names])
    optimizer, schedule = make_optimizer(taught, pictures // BATCH)
    curve: list[dict[str, float]] = []
    if state.exists():
        kept = torch.load(state, weights_only=True)
        taught.load_state_dict(kept["weights"])
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
        curve = kept["curve"]
    begun, started = schedule.last_epoch, time.monotonic()
    seen: list[list[float]] = []
    loader = DataLoader(Patches(FIRST_SCENE + begun * BATCH, pictures - begun * BATCH), batch_size=BATCH)
    for step, (pixels, labels) in enumerate(loader, begun + 1):
        losses = name_patches(encoder, names, pixels, labels)
        optimizer.zero_grad()
        (losses * torch.tensor(WEIGHTS)).sum().backward()
        nn.utils.clip_grad_norm_(taught.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen.append(losses.tolist())
        if step % LOGGING_STEPS == 0:
            means = np.mean(seen, axis=0).round(4).tolist()
            curve.append({"pictures": step * BATCH, **dict(zip(QUESTIONS, means, strict=True))})
            seen = []
            told = ", ".join(f"{name} {mean:.3f}" for name, mean in zip(QUESTIONS, means, strict=True))
            say(f"{step * BATCH:,} of {pictures:,} pictures: {told}, {time.monotonic() - started:.0f} s")
            states = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
            torch.save({"weights": taught.state_dict(), **states, "curve": curve}, state.with_suffix(".new"))
            state.with_suffix(".new").replace(state)
    return curve


def make_optimizer(taught: nn.Module, steps: int) -> tuple[MuonWithAdamW, torch.optim.lr_scheduler.LambdaLR]:
    """Return the optimizer of pretrain.yaml, and a warm-up that is followed by a cosine."""
    tables = embeddings_of(taught)
    matrices = [weights for weights in taught.parameters() if is_muons(weights, tables)]
    others = [weights for weights in taught.parameters() if not is_muons(weights, tables)]
    optimizer = MuonWithAdamW(
        [{"params": matrices, "lr": LEARNING_RATE, "weight_decay": 0.01}],
        [{"params": others, "lr": ADAMW_LEARNING_RATE, "weight_decay": 0.01}],
        betas=(0.9, 0.95),
        eps=1e-8,
    )

    def share(step: int) -> float:
        return min(1.0, (step + 1) / WARMUP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def name_patches(
    encoder: CLIPVisionModel, names: nn.Linear, pixels: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the loss of each question: float[8]."""
    features = encoder(pixel_values=pixels).last_hidden_state[:, 1:]  # without the class token
    scores = names(features).split(ANSWERS, dim=-1)
    return torch.stack([
        cross_entropy(score.flatten(0, 1), asked.flatten(), ignore_index=IGNORED)
        for score, asked in zip(scores, labels.unbind(1), strict=True)
    ])  # fmt: skip


def label_patches(scene: Scene) -> torch.Tensor:
    """Return int[8, patches]: each question's answer for each patch, -100 where there is no object to ask about."""
    middles = (np.arange(PATCHES) + 0.5) / PATCHES
    x, y = np.meshgrid(middles, middles)
    labels = np.full((len(QUESTIONS), PATCHES, PATCHES), IGNORED)
    rows, columns = np.indices((PATCHES, PATCHES))
    labels[4], labels[5], labels[6], labels[7] = 0, rows, columns, SHEETS.index(scene.sheet)
    nearest = np.ones((PATCHES, PATCHES))
    for thing in scene.things:
        distance = np.hypot(x - thing.x, y - thing.y) / thing.radius
        covered = distance < nearest
        nearest[covered] = distance[covered]
        named = [SHAPES.index(thing.shape), COLOURS.index(thing.colour), SIZES.index(thing.size), RIMS.index(thing.rim)]
        for place, answer in enumerate(named):
            labels[place][covered] = answer
        labels[4, int(thing.y * PATCHES), int(thing.x * PATCHES)] = 1
    return torch.from_numpy(labels).flatten(1)


if __name__ == "__main__":
    main()
