"""The memory plan against what a step really takes, at the published sizes of TinyLlama + CLIP-L/14-336 and moondream2.

    python benchmarks/plan.py                # on this machine's CPU: each case in a process of its own, up to 16 GiB
    python benchmarks/plan.py --only lora    # those cases whose name holds this
    python benchmarks/plan.py --case "tinyllama: lora"   # one case in this process, with the C library as it is

Weights are random and float32. Measured is the most memory that the process held while it trained (two steps, their
validations and checkpoints), less what it held before the model was there; planned is the peak of live storages. The C
library is told to give back what is freed at once: left to itself it keeps pieces, and a process holds up to a third
more. The benchmark ends with an error where the two are more than 10 % apart.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from pydantic import TypeAdapter

from finesight.branches.contexts import share_contexts
from finesight.models.load import load_model, silence_libraries
from finesight.models.loaded import Loaded
from finesight.plan.simulate import Simulated, simulate
from finesight.plan.workload import Largest
from finesight.recipe.model import Model
from finesight.recipe.recipe import Recipe, Stage
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example, Turn
from finesight.train.batches import make_batch
from finesight.train.fit import fit
from finesight.train.step_plan import Step, deal_rows, plan_steps
from finesight.tune.prepare import prepare_model
from real_size import write_moondream

TINYLLAMA: dict[str, Any] = {
    "kind": "assembled",
    "dtype": "float32",
    "vision": {
        "config": {
            "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
            "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768,
        }
    },
    "language": {
        "config": {
            "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
            "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
        }
    },
    "tokenizer": {"vocab_size": 340},
    "chat_template": "llava-1.5",
}  # fmt: skip
MOONDREAM: dict[str, Any] = {
    "kind": "moondream", "name_or_path": "vikhyatk/moondream2", "dtype": "float32",
}  # fmt: skip
MODELS = {"tinyllama": TINYLLAMA, "moondream": MOONDREAM}
LORA = {"language": {"method": "lora", "r": 16}}
FUSED = {"language": {"method": "lora", "r": 16, "target_modules": ["Wqkv", "out_proj"]}}
CASES: dict[str, dict[str, Any]] = {
    "tinyllama: lora": {"tune": LORA, "train": {"global_batch_size": 2, "max_steps": 2}},
    "tinyllama: lora, activations computed twice": {
        "tune": LORA,
        "train": {"global_batch_size": 4, "max_steps": 2, "gradient_checkpointing": True},
    },
    "tinyllama: full, by sgd": {
        "tune": {"vision": "full", "projector": "full", "language": "full"},
        "train": {"global_batch_size": 1, "max_steps": 2, "optim": "sgd"},
    },
    "moondream: lora": {"tune": FUSED, "train": {"global_batch_size": 1, "max_steps": 2}},
    "moondream: lora, activations computed twice": {
        "tune": FUSED,
        "train": {"global_batch_size": 2, "max_steps": 2, "gradient_checkpointing": True},
    },
}
"""By the model's name and what is done with it."""
MAX_TOKENS = 4096
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
"""Larger pieces are taken from the system, and returned to it, one by one."""
FARTHEST = 0.1
TEXTS = ("what colour is it?", "red", "green", "blue", "is it a square?", "no", "yes")


class Plain:
    """A picture of one colour."""

    def __init__(self, shade: int) -> None:
        self.name = f"plain-{shade}"
        self._shade = shade

    def open(self) -> Image.Image:
        return Image.new("RGB", (336, 336), (self._shade, 20, 20))

    def content_hash(self) -> str:
        return self.name


def make_examples(count: int) -> list[Example]:
    """Return questions about a picture each."""
    turns = (Turn("user", "what colour is it?"), Turn("assistant", "red", True))
    images = [Plain(shade) for shade in range(count)]
    return [Example(image.name, image.name, (image,), turns, ("red",), source="drawn") for image in images]


def held_gib(field: str) -> float:
    """Return a field of the process's status in GiB: VmRSS what it holds, VmHWM the most that it held."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(f"{field}:"))
    return int(line.split()[1]) / 2**20


def measure(loaded: Loaded, spec: Model, stage: Stage, examples: list[Example], before: float) -> float:
    """Return what training held above `before`, in GiB."""
    contexts = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    recipe = Recipe.model_validate({
        "name": "plan", "model": spec.model_dump(exclude_none=True), "tune": LORA,
        "data": {"train": [{"kind": "scenes"}]}, "evaluate": [{"name": "held_out", "from": "test"}],
    })  # fmt: skip
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most held begins anew
    with TemporaryDirectory() as folder:
        run = RunDir.new(recipe, Path(folder) / "run", Path())
        fit(loaded, contexts, contexts[:1], stage, run, evaluate=dict, max_tokens=MAX_TOKENS, stop=StopRequest())
    return held_gib("VmHWM") - before


def predict(loaded: Loaded, spec: Model, stage: Stage, examples: list[Example], folder: Path) -> Simulated:
    """Return the plan of the same rows."""
    contexts = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    steps: list[Step] = plan_steps(contexts, stage.train, seed=1)
    (batches,) = deal_rows(steps[0], max_tokens=MAX_TOKENS, ranks=1)
    batch = make_batch(batches[0], loaded.formatter)
    return simulate(spec, stage, Largest((batch,), len(batches), batch, 1), data_root=folder, device="cpu")


def compare(case: str) -> None:
    """Print one case, and end with an error where plan and measure are more than 10 % apart."""
    silence_libraries()
    model = case.split(":")[0]
    stage = Stage.model_validate({**CASES[case], "name": "tune"})
    spec: Model = TypeAdapter(Model).validate_python(MODELS[model])
    examples = make_examples(stage.train.global_batch_size)
    with TemporaryDirectory() as name:
        folder = Path(name)
        if model == "moondream":
            # In a process of its own: what writing it leaves behind would be taken for what the model needs.
            write = multiprocessing.get_context("spawn").Process(target=write_moondream, args=(folder,))
            write.start()
            write.join()
            assert write.exitcode == 0, "the checkpoint could not be written"
        gc.collect()
        before = held_gib("VmRSS")
        loaded = load_model(spec, data_root=folder, seed=1, texts=lambda: TEXTS * 20)
        prepare_model(loaded, stage.tune, stage.train)
        measured = measure(loaded, spec, stage, examples, before)
        predicted = predict(loaded, spec, stage, examples, folder)
    planned = predicted.training.bytes / 2**30
    apart = planned / measured - 1
    print(f"| {case} | {planned:.2f} | {measured:.2f} | {apart:+.1%} |", flush=True)
    if abs(apart) > FARTHEST:
        sys.exit(f"{case}: more than {FARTHEST:.0%} apart")


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--case", choices=CASES, help="this one alone")
    arguments.add_argument("--only", default="", help="the cases whose name holds this")
    given = arguments.parse_args()
    case: str | None = given.case
    if case:
        compare(case)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32\n")
    print("| | planned GiB | measured GiB | apart |")
    print("|---|---|---|---|", flush=True)
    chosen = [name for name in CASES if given.only in name]
    environment = {**os.environ, **GIVES_BACK}
    codes = [subprocess.run([sys.executable, __file__, "--case", name], env=environment).returncode for name in chosen]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
