"""One training step of the recipes' models at their real size, with random weights, in float32 on the CPU.

    python benchmarks/real_size.py             # both models, one after the other: some minutes, 14 GiB of memory
    python benchmarks/real_size.py moondream   # or tinyllama: one of them

Checkpoints are written as they are published, tensor by tensor, into a temporary folder (7.5 GB), and read by the code
that reads real ones. A model of random weights finds every token equally likely, so its loss has to be near the
logarithm of the vocabulary; gradients have to arrive where the recipe trains, and nowhere else.
"""

from __future__ import annotations

import argparse
import gc
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, CLIPImageProcessorPil

from contenders import peak_memory, reset_peak_memory
from finesight.branches.contexts import share_contexts
from finesight.branches.loss import learned_losses
from finesight.data.sources.read import read_source
from finesight.models.blueprint import Blueprint, find_blueprint
from finesight.models.configs import read_blueprint_config
from finesight.models.load import load_model, silence_libraries
from finesight.models.loaded import Loaded
from finesight.models.moondream.config import moondream_config
from finesight.models.moondream.miniature import write_random
from finesight.models.parts import bare_parameters
from finesight.models.tokenizers_alike import learn_alike
from finesight.recipe.builtin import find_recipe
from finesight.recipe.model import MoondreamModel
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe, Stage
from finesight.recipe.sources import Scenes
from finesight.schema import PART_NAMES
from finesight.train.batches import make_batch
from finesight.tune.prepare import prepare_model

QUESTIONS = 4
"""About one image; the last asks for a caption, so that many different tokens are learned."""
FARTHEST_NATS = 1.0
"""How far from the logarithm of the vocabulary the first loss may lie: logits of random weights scatter by about 0.9,
which adds half of its square, and a few tokens are no large sample of them."""


def write_tinyllama(folder: Path) -> None:
    """Write CLIP-L/14-336 and TinyLlama-1.1B with random weights, each below its hub name."""
    vision, language = _blueprint("openai/clip-vit-large-patch14-336"), _blueprint("TinyLlama/TinyLlama-1.1B-Chat-v1.0")
    AutoModel.from_config(read_blueprint_config(vision)).save_pretrained(folder / vision.name)
    CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size=336).save_pretrained(folder / vision.name)
    AutoModelForCausalLM.from_config(read_blueprint_config(language)).save_pretrained(folder / language.name)
    learn_alike(language).save_pretrained(folder / language.name)


def write_moondream(folder: Path) -> None:
    """Write moondream2 of 2024 with random weights below its hub name."""
    published = _blueprint("vikhyatk/moondream2", "2024-08-26")
    write_random(
        moondream_config(dict(published.config), published.name), learn_alike(published), folder / published.name
    )


MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tinyllama": ("tinyllama-clip-medvqa-lora", write_tinyllama),
    "moondream": ("moondream2-vqa-replay", write_moondream),
}
"""The recipe of each model, and what writes its checkpoints."""


def take_step(recipe: Recipe, folder: Path) -> None:
    """Load the recipe's model from `folder`, train its last stage for one step, and print what that took and gave.

    Raises `SystemExit` when the loss or the gradients are not what they have to be.
    """
    stage = recipe.each_stage()[-1]
    started = time.perf_counter()
    settings: dict[str, Any] = {"dtype": "float32"}
    if isinstance(recipe.model, MoondreamModel):
        settings["revision"] = None  # a folder has none
    loaded = load_model(recipe.model.model_copy(update=settings), data_root=folder, seed=recipe.seed)
    print(f"  loaded in {time.perf_counter() - started:.1f} s; {_memory()}")
    table = prepare_model(loaded, stage.tune, stage.train)
    share = f"{100 * table['trainable'] / table['total']:.4f} %"
    print(f"  {table['trainable']:,} of {table['total']:,} parameters are trainable ({share})")
    source = Scenes(kind="scenes", scenes=1, questions_per_scene=QUESTIONS - 1, captions_per_scene=1, image_size=336)
    singles = [loaded.formatter.encode(example, answered=True) for example in read_source(source, folder)]
    batch = make_batch(share_contexts(singles), loaded.formatter)

    gc.collect()
    reset_peak_memory()
    started = time.perf_counter()
    loaded.model.train()
    losses = learned_losses(loaded.model, batch.layout, batch.pixels, torch.float32)
    loss = losses.mean()
    loss.backward()
    optimizer = torch.optim.AdamW([each for each in loaded.model.parameters() if each.requires_grad], lr=1e-5)
    optimizer.step()
    seconds = time.perf_counter() - started
    tokens = batch.layout.tokens
    print(f"  one step of {QUESTIONS} questions about an image, {tokens:,} tokens: {seconds:.1f} s; {_memory()}")
    _check_loss(float(loss.detach()), loaded)
    _check_gradients(loaded, stage)


def _check_loss(loss: float, loaded: Loaded) -> None:
    expected = math.log(loaded.model.config.get_text_config().vocab_size)
    print(f"  loss {loss:.3f}; the logarithm of the vocabulary is {expected:.3f}")
    if not abs(loss - expected) < FARTHEST_NATS:
        raise SystemExit("the loss is far from that of a model that knows nothing")


def _check_gradients(loaded: Loaded, stage: Stage) -> None:
    for part in PART_NAMES:
        parameters = list(loaded.parts.parameters_of(loaded.model, part))
        asked = {each.name for each in parameters if each.parameter.requires_grad}
        reached = {each.name for each in parameters if each.parameter.grad is not None}
        print(
            f"  {part}: {len(reached)} of {len(parameters)} tensors got a gradient (asked: {stage.tune.of(part)!r:.60})"
        )
        if asked != reached:
            raise SystemExit(f"gradients of {part} are missing, or too many: {sorted(asked ^ reached)[:3]}")
    wrong = [
        p.name
        for p in bare_parameters(loaded.model)
        if p.parameter.grad is not None and not p.parameter.grad.isfinite().all()
    ]
    if wrong:
        raise SystemExit(f"gradients that are not numbers: {wrong[:3]}")


def _memory() -> str:
    return f"at most {peak_memory() / 1024:.1f} GiB"


def _blueprint(name: str, revision: str | None = None) -> Blueprint:
    found = find_blueprint(name, revision)
    assert found is not None
    return found


def main() -> None:
    """Take a step of the models that are named, or of both."""
    parser = argparse.ArgumentParser(description="One training step at real size, with random weights.")
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], default=[])
    chosen = parser.parse_args().models or list(MODELS)
    silence_libraries()
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32")
    for name in chosen:
        recipe_name, write = MODELS[name]
        print(f"\n{recipe_name}")
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            gc.collect()
            reset_peak_memory()
            take_step(read_recipe(find_recipe(recipe_name)).recipe, Path(folder))
        gc.collect()


if __name__ == "__main__":
    main()
