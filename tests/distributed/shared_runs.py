"""A recipe of two stages, how several processes are started, and what a test reads of their runs."""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROCESSES = 2
DRIVER = Path(__file__).with_name("several_runs.py")
FEW_TOKENS = 160
"""Tokens a device: so few that a step of one process is several batches, and processes have unequally many."""
ENGINES = ("ddp", "fsdp", "zero2", "zero2-offload", "zero3")
SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **SIZE}
LANGUAGE = {
    "model_type": "llama",
    "num_key_value_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    **SIZE,
}
TRAIN = {"global_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 2, "warmup_steps": 2}
RECIPE: dict[str, Any] = {
    "name": "shared",
    "seed": 7,
    "model": {
        "kind": "assembled",
        "vision": {"config": VISION},
        "language": {"config": LANGUAGE},
        "tokenizer": {"vocab_size": 400},
        "chat_template": "plain",
    },
    "data": {
        "train": [{"kind": "scenes", "scenes": 20, "questions_per_scene": 4, "image_size": 32}],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "stages": [
        {"name": "warm", "tune": {"projector": "full"}, "train": {"max_steps": 2, **TRAIN}},
        {
            "name": "joint",
            "tune": {
                "vision": "full",
                "projector": "full",
                "language": {"method": "lora", "r": 3, "target_modules": "all-linear", "lora_dropout": 0.0},
            },
            "train": {"max_steps": 4, "weight_decay": 0.1, **TRAIN},
        },
    ],
    "evaluate": [
        {"name": "held_out", "from": "test", "max_new_tokens": 4},
        {"name": "watched", "from": "validation", "max_new_tokens": 4},
    ],
}


Before = Callable[[int], None]
"""What a process does, given its number, before it carries out the command."""


@dataclass(frozen=True)
class Sent:
    """A signal that a process sends itself, once it is called before the command."""

    which: signal.Signals
    owner: str
    """A module, or with a colon a class of it."""
    name: str
    number: int
    """Before the how manyth call of the function of that name."""
    to: int = 1

    def __call__(self, rank: int) -> None:
        if rank != self.to:
            return
        owner, calls = pkgutil.resolve_name(self.owner), 0
        real = getattr(owner, self.name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.number:
                os.kill(os.getpid(), self.which)
            return real(*args, **kwargs)

        setattr(owner, self.name, counted)


@dataclass(frozen=True)
class Ended:
    """How two processes have ended, and what both have said."""

    codes: tuple[int | None, ...]
    told: str


Pair = Callable[..., Ended]
"""Carries out `finesight run` with the arguments given, by two processes and an engine that needs no DeepSpeed."""


def run_process(rank: int, port: int, log: Path, arguments: list[str], engine: str, before: Before | None) -> None:
    """Be one of two processes of `finesight run`, with what is said in a file; the exit code is the command's."""
    import torch

    torch.set_num_threads(1)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "FINESIGHT_ENGINE": engine}
    os.environ |= {**place, "WORLD_SIZE": str(PROCESSES), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    if before is not None:
        before(rank)
    from finesight.cli.main import main

    sys.argv = ["finesight", "run", *arguments]
    main()


def is_installed(engine: str) -> bool:
    """Return whether the library of an engine is there."""
    return not engine.startswith("zero") or importlib.util.find_spec("deepspeed") is not None


def require_engine(engine: str) -> None:
    """Skip the test where the library of the engine is not installed."""
    if not is_installed(engine):
        pytest.skip("deepspeed is not installed")


def environment_of(engine: str) -> dict[str, str]:
    """Return the environment of a process that torchrun starts."""
    paths = [*filter(None, sys.path)]
    own = {"FINESIGHT_ENGINE": engine, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(paths)}


def torchrun(*arguments: object) -> list[str]:
    """Return the command line of several processes on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    return [*launcher, *map(str, arguments)]


def run_alone(recipe_file: Path, folder: Path) -> Path:
    """Carry a run out in this process, or a begun one to its end."""
    from finesight.recipe.reading import read_recipe
    from finesight.run import fine_tune
    from finesight.rundir import RunDir
    from finesight.runtime import StopRequest

    run = RunDir.new_or_begun(read_recipe(recipe_file).recipe, folder, recipe_file.parent)
    fine_tune(run, max_tokens=8192, stop=StopRequest())
    return folder


def cut_short(run: Path, folder: Path) -> Path:
    """Return a copy of a run as it was after step 2 of the second stage."""
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "checkpoints/joint/checkpoint-4")
    (folder / "checkpoints/joint/best.json").unlink()
    for predictor in ("after", "blind", "majority", "majority_by_question_type"):
        shutil.rmtree(folder / "evaluation" / predictor)
    for name in ("verdict.json", "report.html"):
        (folder / name).unlink()
    return folder


def rows(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def answers(run: Path) -> dict[str, dict[str, Any]]:
    """Return every record of a run by predictor, task and id."""
    found = {}
    for file in sorted((run / "evaluation").glob("*/*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            key = f"{file.parent.name}/{file.stem}/{record['id']}"
            assert key not in found, f"{key} was answered twice"
            found[key] = record
    return found
