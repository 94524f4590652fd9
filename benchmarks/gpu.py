"""Fifty training steps at real size on a GPU, with random weights: how fast, how well used, and how near the plan came.

    python benchmarks/gpu.py --peak-tflops 989    # dense bfloat16 operations a second, from the GPU's data sheet
    python benchmarks/gpu.py --miniature          # goes through the script anywhere; its figures mean nothing

A step holds 64 questions about 16 pictures. Questions a second and utilisation are of steps 11 to 50, without the
validation at the end. Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B) is what the plan counts of a
step's operations, done in that time, as a share of `--peak-tflops`; no activation is computed twice here. Memory is the
most that PyTorch's allocator gave out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import TypeAdapter

from finesight.branches.contexts import share_contexts
from finesight.models.blueprint import find_blueprint
from finesight.models.load import load_model, silence_libraries
from finesight.plan.simulate import simulate
from finesight.plan.workload import Largest
from finesight.recipe.model import Model
from finesight.recipe.recipe import Recipe, Stage
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example, Turn
from finesight.train.batches import make_batch
from finesight.train.fit import fit
from finesight.train.step_plan import deal_rows, plan_steps
from finesight.tune.prepare import prepare_model
from plan import Plain

STEPS, WARM_UP = 50, 10
PICTURES, QUESTIONS = 16, ("what colour is it?", "is it red?", "is it a square?", "how many things are there?")
MAX_TOKENS = 8192
LORA = {"language": {"method": "lora", "r": 16}}
FULL = {"vision": "full", "projector": "full", "language": "full"}
VISION, TINYLLAMA = "openai/clip-vit-large-patch14-336", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
LLAVA_GEMMA = "deepvk/llava-gemma-2b-lora"
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


def cases(*, miniature: bool) -> dict[str, tuple[dict[str, Any], dict[str, Any], bool]]:
    """Return the model, what is tuned, and whether autocast computes, by the name of each row."""
    llava_gemma = published(LLAVA_GEMMA)
    tinyllama = assemble(published(VISION)["vision_config"], published(TINYLLAMA), miniature=miniature)
    gemma = assemble(llava_gemma["vision_config"], llava_gemma["text_config"], miniature=miniature)
    return {
        "TinyLlama + CLIP-L/14-336, LoRA, bfloat16": ({**tinyllama, "dtype": "bfloat16"}, LORA, False),
        "TinyLlama + CLIP-L/14-336, in full, bfloat16 over float32": ({**tinyllama, "dtype": "float32"}, FULL, True),
        "LLaVA-Gemma-2B, LoRA, bfloat16": ({**gemma, "dtype": "bfloat16"}, LORA, False),
    }


def published(name: str) -> dict[str, Any]:
    """Return the configuration of a published model."""
    found = find_blueprint(name, None)
    assert found is not None, f"no blueprint of {name}"
    return dict(found.config)


def assemble(vision: dict[str, Any], language: dict[str, Any], *, miniature: bool) -> dict[str, Any]:
    """Return the specification of a model of these configurations with random weights."""
    if miniature:
        vision = {**vision, **SMALL, "image_size": 28}
        language = {**language, **SMALL, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 400}
    return {
        "kind": "assembled", "vision": {"config": vision}, "language": {"config": language},
        "tokenizer": {"vocab_size": 340}, "chat_template": "llava-1.5",
    }  # fmt: skip


def make_examples() -> list[Example]:
    """Return questions about pictures, enough for four steps; an epoch follows the other."""
    return [
        Example(
            f"{picture.name}-{number}", picture.name, (picture,),
            (Turn("user", question), Turn("assistant", "yes", True)), ("yes",), source="drawn",
        )
        for picture in map(Plain, range(4 * PICTURES))
        for number, question in enumerate(QUESTIONS)
    ]  # fmt: skip


def measure(name: str, content: dict[str, Any], tune: dict[str, Any], *, autocast: bool, peak_tflops: float) -> str:
    """Train, plan the same rows, and return a row of the table."""
    spec: Model = TypeAdapter(Model).validate_python(content)
    train = {
        "global_batch_size": PICTURES * len(QUESTIONS), "max_steps": STEPS, "learning_rate": 1e-4,
        "eval_steps": STEPS, "save_steps": STEPS, "logging_steps": WARM_UP, "bf16": autocast,
    }  # fmt: skip
    stage = Stage.model_validate({"name": "tune", "tune": tune, "train": train})
    examples = make_examples()
    texts = [turn.text for example in examples for turn in example.turns]
    loaded = load_model(spec, data_root=Path(), seed=1, texts=lambda: texts)
    prepare_model(loaded, stage.tune, stage.train)
    contexts = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    recipe = Recipe.model_validate({
        "name": "gpu", "model": content, "tune": tune,
        "data": {"train": [{"kind": "scenes"}]}, "evaluate": [{"name": "held_out", "from": "test"}],
    })  # fmt: skip
    with TemporaryDirectory() as folder:
        run = RunDir.new(recipe, Path(folder) / "run", Path())
        fit(loaded, contexts, contexts[:1], stage, run, evaluate=dict, max_tokens=MAX_TOKENS, stop=StopRequest())
        rows = {row["step"]: row for row in run.metrics() if row["kind"] == "train"}
    seconds = (rows[STEPS]["seconds"] - rows[WARM_UP]["seconds"]) / (STEPS - WARM_UP)
    step = plan_steps(contexts, stage.train, seed=1)[0]
    (batches,) = deal_rows(step, max_tokens=MAX_TOKENS, ranks=1)
    batch = make_batch(batches[0], loaded.formatter)
    planned = simulate(
        spec, stage, Largest((batch,), len(batches), batch, len(QUESTIONS)), data_root=Path(), device="cuda"
    )
    used = planned.flops * len(batches) / seconds / (peak_tflops * 1e12)
    speed = PICTURES * len(QUESTIONS) / seconds
    gib, measured = planned.training.bytes / 2**30, rows[STEPS]["peak_memory_gib"]
    return f"| {name} | {speed:.1f} | {used:.1%} | {gib:.2f} | {measured:.2f} | {gib / measured - 1:+.1%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak-tflops", type=float, help="dense bfloat16 operations a second, from the data sheet")
    parser.add_argument("--miniature", action="store_true", help="two layers, any machine: figures mean nothing")
    given = parser.parse_args()
    if not given.miniature and not torch.cuda.is_available():
        sys.exit("this benchmark needs a GPU, and torch sees none; --miniature goes through the script without")
    if not given.miniature and given.peak_tflops is None:
        sys.exit("utilisation needs --peak-tflops: dense bfloat16 TFLOP/s, from the GPU's data sheet")
    silence_libraries()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: these figures mean nothing"
    print(f"torch {torch.__version__}, {where}\n")
    print("| | questions/s | model FLOPs utilisation | planned GiB | measured GiB | apart |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, (content, tune, autocast) in cases(miniature=given.miniature).items():
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        row = measure(name, content, tune, autocast=autocast, peak_tflops=given.peak_tflops or 1.0)
        print(row, flush=True)


if __name__ == "__main__":
    main()
