"""Runs one small recipe in every way a machine may ask for, and prints how far the losses are apart.

    python benchmarks/equal_losses.py FOLDER

Every row is a run of the command line of its own, in float32 on the CPU, two of them by gloo where there are two; the
first row is what the others are compared with. Engines whose library is not installed are left out, and named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

SIZE = "hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, num_attention_heads: 4"
RECIPE = f"""\
name: equal-losses
seed: 7
model:
  kind: assembled
  vision: {{config: {{model_type: clip_vision_model, image_size: 48, patch_size: 8, {SIZE}}}}}
  language: {{config: {{model_type: llama, num_key_value_heads: 2, vocab_size: 500, max_position_embeddings: 256,
    tie_word_embeddings: true, {SIZE}}}}}
  tokenizer: {{vocab_size: 500}}
  chat_template: plain
data:
  train: [{{kind: scenes, scenes: 40, questions_per_scene: 6, image_size: 48}}]
  split: {{validation: 0.1, test: 0.1}}
tune:
  vision: full
  projector: full
  language: {{method: lora, r: 8, lora_dropout: 0.0, target_modules: all-linear}}
train:
  max_steps: 20
  global_batch_size: 16
  learning_rate: 3.0e-4
  warmup_steps: 0.1
  weight_decay: 0.1
  logging_steps: 1
  eval_steps: 5
evaluate: [{{name: held_out, from: test, max_new_tokens: 6}}]
"""
ALL, ONE = 8192, 64
"""Tokens a device: a step in one batch; every question in a row and a batch of its own."""
KILLED_AFTER = 10
ENGINES = ("ddp", "fsdp", "zero2", "zero2-offload", "zero3")


@dataclass(frozen=True)
class Way:
    """One way to carry out the recipe."""

    name: str
    processes: int = 1
    engine: str = "ddp"
    tokens: int = ALL
    killed: str = ""
    """The engine of two processes that begin the run and are killed (`alone` for one process); the way goes on."""


def ways() -> Iterator[Way]:
    """Yield every way, the one that the others are compared with first."""
    yield Way("one process, a step in one batch of rows with branches")
    yield Way("one process, every question in a row of its own, 16 batches a step", tokens=ONE)
    yield Way("one process, 2 batches or more a step", tokens=400)
    yield Way("one process, killed after step 10, resumed", killed="alone")
    for engine in ENGINES:
        yield Way(f"two processes, {engine}, 2 batches or more a step", 2, engine, tokens=200)
        yield Way(f"one process, killed after step 10, resumed by two, {engine}", 2, engine, killed="alone")
        yield Way(f"two processes, {engine}, killed after step 10, resumed by one", killed=engine)


def command(way: Way, *arguments: object) -> tuple[list[str], dict[str, str]]:
    """Return command line and environment of a run."""
    verb = ["-m", "finesight", "run", *map(str, arguments), "--max-tokens-per-device", str(way.tokens)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(way.processes)]
    own = {"FINESIGHT_ENGINE": way.engine, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    return [sys.executable, *(launcher if way.processes > 1 else []), *verb], {**os.environ, **own}


def carry_out(way: Way, recipe: Path, run: Path) -> None:
    """Carry the recipe out in a way."""
    arguments: tuple[object, ...] = (recipe, "--output", run)
    if way.killed:
        begun = run.with_name(f"begun-{way.killed}")
        if not begun.exists():
            begin = Way(way.name) if way.killed == "alone" else Way(way.name, 2, way.killed)
            last_file = begun / f"checkpoints/tune/checkpoint-{KILLED_AFTER}/trainer_state.json"
            kill_after(begin, (recipe, "--output", begun), last_file)
        shutil.copytree(begun, run)
        arguments = ("--resume", run)
    line, environment = command(way, *arguments)
    ended = subprocess.run(line, env=environment, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{way.name}: exit code {ended.returncode}\n{ended.stderr}")


def kill_after(way: Way, arguments: tuple[object, ...], checkpoint: Path) -> None:
    """Begin a run and kill all its processes as soon as a checkpoint is there."""
    line, environment = command(way, *arguments)
    started = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not checkpoint.is_file():
        if started.poll() is not None:
            raise SystemExit(f"{way.name}: ended before {checkpoint} was written")
        time.sleep(0.01)
    launcher = psutil.Process(started.pid)
    for process in (launcher, *launcher.children(recursive=True)):
        process.kill()
    started.wait()


def read(run: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a run's lines of metrics.jsonl, and every answer by predictor and id."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = {}
    for predictor in ("before", "after"):
        for line in (run / f"evaluation/{predictor}/held_out.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            answers[f"{predictor} {record['id']}"] = record["prediction"]
    return rows, answers


def apart(rows: list[dict[str, Any]], others: list[dict[str, Any]], kind: str) -> float:
    """Return the largest relative difference between the losses of two runs."""
    pairs = [(row["loss"], other["loss"]) for row, other in zip(rows, others, strict=True) if row["kind"] == kind]
    return max(abs(loss - other) / other for loss, other in pairs)


def main(folder: Path) -> None:
    """Print the table, row by row."""
    folder.mkdir(parents=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    expected = None
    print("| run | training loss | validation loss | equal answers |", "|---|---|---|---|", sep="\n")
    for number, way in enumerate(ways()):
        if "zero" in way.engine + way.killed and find_spec("deepspeed") is None:
            print(f"left out, deepspeed is not installed: {way.name}", file=sys.stderr)
            continue
        run = folder / f"run-{number}"
        carry_out(way, recipe, run)
        rows, answers = read(run)
        expected = expected or (rows, answers)
        same = sum(answers[name] == answer for name, answer in expected[1].items())
        training, validation = (apart(rows, expected[0], kind) for kind in ("train", "validation"))
        print(f"| {way.name} | {training:.1e} | {validation:.1e} | {same} of {len(answers)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
