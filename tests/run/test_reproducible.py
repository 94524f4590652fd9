"""Two runs of one recipe on one machine give equal records and losses, bit for bit, and say where they took place."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import RECIPE, Finesight, WriteRecipe, environment, losses, read_json_lines, recipe_text

from finesight.environment import describe_environment
from finesight.recipe.recipe import Recipe
from finesight.train.reproducible import seed_everything

LORA = {"method": "lora", "r": 4, "lora_dropout": 0.3}


def run_apart(folder: Path, name: str, hash_seed: str, *options: str) -> Path:
    """Run the recipe of `folder` in a process of its own, in which sets and dictionaries hash otherwise."""
    run = folder / name
    command = [sys.executable, "-m", "finesight", "run", str(folder / "recipe.yaml"), "--output", str(run), *options]
    own = {**environment(), "PYTHONHASHSEED": hash_seed}
    ended = subprocess.run(command, capture_output=True, text=True, env=own)
    assert ended.returncode == 0, ended.stderr
    return run


def test_two_fresh_processes_give_equal_records_and_losses(tmp_path: Path) -> None:
    tune = {"vision": LORA, "projector": "full", "language": LORA}
    task = {"name": "drawn", "from": "validation", "max_new_tokens": 6, "temperature": 1.0}
    text = recipe_text({"tune": tune, "evaluate": [*RECIPE["evaluate"], task]})
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    first = run_apart(tmp_path, "first", "1")
    # What the machine decides, and what only promises the same bits, changes nothing.
    second = run_apart(
        tmp_path, "second", "2", "--set", "train.dataloader_num_workers=1", "--set", "train.full_determinism=true"
    )
    assert losses(first) == losses(second)
    files = sorted(path.relative_to(first) for path in (first / "evaluation").rglob("*.jsonl"))
    assert len(files) >= 8
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    weights = Path("checkpoints/tune/checkpoint-12/adapters/language/adapter_model.safetensors")
    assert (first / weights).read_bytes() == (second / weights).read_bytes()


@pytest.mark.parametrize("stopped_before", ["first", "second"])
def test_adapters_begin_alike_however_often_the_run_was_started(
    stopped_before: str, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    train = {**RECIPE["train"], "max_steps": 4}
    stages = [{"name": name, "tune": {"language": LORA}, "train": train} for name in ("first", "second")]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert finesight("run", write_recipe(stages=stages, tune=None, train=None), "--output", whole).code == 0
    shutil.copytree(whole, stopped)
    undo_from(stopped, stopped_before)
    assert finesight("run", "--resume", stopped).code == 0
    assert losses(stopped) == losses(whole)


def undo_from(run: Path, stage: str) -> None:
    """Leave of a run of two stages what one has that was killed before a stage's first checkpoint."""
    undone = ["first", "second"][["first", "second"].index(stage) :]
    for name in undone:
        shutil.rmtree(run / "checkpoints" / name)
    for predictor in ("after", "blind"):
        shutil.rmtree(run / "evaluation" / predictor)
    (run / "verdict.json").unlink()
    rows = read_json_lines(run / "metrics.jsonl")
    kept = [json.dumps(row) + "\n" for row in rows if row["stage"] not in undone]
    (run / "metrics.jsonl").write_text("".join(kept), encoding="utf-8")


def test_every_source_of_random_numbers_is_seeded() -> None:
    recipe = Recipe.model_validate(dict(RECIPE))
    drawn = []
    for _ in range(2):
        seed_everything(recipe)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]


def test_deterministic_algorithms_are_chosen_where_a_stage_asks(tmp_path: Path) -> None:
    """In a process of its own: torch remembers it."""
    asked = Recipe.model_validate({**RECIPE, "train": {**RECIPE["train"], "full_determinism": True}})
    program = (
        "import os, sys, torch\n"
        "from finesight.recipe.recipe import Recipe\n"
        "from finesight.train.reproducible import seed_everything\n"
        "seed_everything(Recipe.model_validate_json(sys.stdin.read()))\n"
        "print(torch.are_deterministic_algorithms_enabled(), os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=asked.model_dump_json(by_alias=True),
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert ended.stdout.split() == ["True", ":16:8"], ended.stderr


def test_the_run_says_where_and_on_what_it_took_place(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    assert finesight("run", write_recipe(), "--output", tmp_path / "run").code == 0
    found = json.loads((tmp_path / "run" / "environment.json").read_text(encoding="utf-8"))
    assert {"torch", "transformers", "peft", "finesight"} <= set(found["packages"])
    assert found["processor"]
    assert set(found["fingerprints"]) == {"train", "validation", "test"}
    assert all(len(own) == 16 for sources in found["fingerprints"].values() for own in sources.values())


@pytest.mark.parametrize(
    ("told", "gpus"),
    [
        ("echo 'NVIDIA A40, 46068, 550.54.15'", [{"name": "NVIDIA A40", "memory_gib": 45.0, "driver": "550.54.15"}]),
        ("echo 'NVIDIA GB10, [N/A], 580.1'", [{"name": "NVIDIA GB10", "memory_gib": None, "driver": "580.1"}]),
        ("echo 'no driver' >&2; exit 9", []),
    ],
)
def test_gpus_are_told_by_their_driver(
    told: str, gpus: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{told}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert describe_environment()["gpus"] == gpus
