"""Checkpoint folders as people have them: saved by transformers, whole or damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from finesight.branches.images import image_arguments
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import LlavaModel
from finesight.schema import Example

CLIP_PROCESSOR = {
    "crop_size": {"height": 32, "width": 32},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "CLIPImageProcessor",
    "processor_class": "LlavaProcessor",
    "size": {"shortest_edge": 32},
}


def save_folder(loaded: Loaded, folder: Path) -> Path:
    """Write a model as transformers does: weights, tokenizer and image processor."""
    loaded.model.save_pretrained(folder)
    loaded.formatter.tokenizer.save_pretrained(folder)
    loaded.formatter.image_processor.save_pretrained(folder)
    return folder


def load_folder(folder: Path, **settings: Any) -> Loaded:
    """Return the LLaVA in `folder`."""
    return load_model(LlavaModel(kind="llava", name_or_path=folder.name, **settings), data_root=folder.parent)


def rewrite_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def rewrite_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change a folder's weights in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def logits_of(loaded: Loaded, example: Example) -> torch.Tensor:
    """Return the logits of an example's whole conversation: float[tokens, vocabulary]."""
    single = loaded.formatter.encode(example, answered=True)
    ids = torch.tensor([[*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]])
    seen = image_arguments(loaded.model, loaded.formatter.pixels(single.images))
    logits: torch.Tensor = loaded.model(input_ids=ids, **seen).logits[0]
    return logits
