"""A recipe small enough to run in a second, and what a test reads of a run."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

RECIPE: Mapping[str, Any] = {
    "name": "small",
    "seed": 7,
    "model": {
        "kind": "assembled",
        "vision": {
            "config": {
                "model_type": "clip_vision_model",
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 16,
            }
        },
        "language": {
            "config": {
                "model_type": "llama",
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "vocab_size": 400,
                "max_position_embeddings": 256,
                "tie_word_embeddings": True,
                "bos_token_id": 1,
                "eos_token_id": 2,
            }
        },
        "tokenizer": {"vocab_size": 400},
        "chat_template": "plain",
    },
    "data": {
        "train": [{"kind": "scenes", "scenes": 20, "questions_per_scene": 4, "image_size": 32}],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "tune": {"vision": "full", "projector": "full", "language": "full"},
    "train": {"max_steps": 12, "global_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 4},
    "evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 6}],
}


FROM_QUESTIONS: Mapping[str, Any] = {
    "train": [{"kind": "vqa_json", "file": "data/train.json", "images": "data"}],
    "split": {"validation": 0.2, "test": 0.2},
}


@dataclass(frozen=True)
class Ended:
    """How a verb ended."""

    code: int
    stdout: str
    stderr: str

    def last_line(self) -> str:
        return self.stdout.splitlines()[-1]


Finesight = Callable[..., Ended]
"""Runs the command line in this process."""
WriteRecipe = Callable[..., Path]
"""Writes the small recipe as `recipe.yaml`; keywords replace its sections, or set fields of `train`."""


def recipe_text(sections: Mapping[str, Any]) -> str:
    """Return the small recipe with some sections replaced; None takes a section out."""
    content = {**copy.deepcopy(dict(RECIPE)), **sections}
    return yaml.safe_dump({name: section for name, section in content.items() if section is not None}, sort_keys=False)


def write_questions(folder: Path) -> Path:
    """Write twelve pictures and two questions about each, in `train.json`; return the folder."""
    folder.mkdir()
    rows = []
    for number in range(12):
        Image.new("RGB", (32, 32), (number * 20, 0, 255 - number * 20)).save(folder / f"{number}.png")
        rows += [
            {"image": f"{number}.png", "question": "Is it blue?", "answer": "yes" if number < 6 else "no"},
            {"image": f"{number}.png", "question": "Which shade?", "answer": f"shade {number}"},
        ]
    (folder / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def whole(folder: Path, sections: Mapping[str, Any], *, max_tokens: int = 8192) -> Path:
    """Run the small recipe from beginning to end, in this process, and return the run folder."""
    from finesight.recipe.reading import read_recipe
    from finesight.run import fine_tune
    from finesight.rundir import RunDir
    from finesight.runtime import StopRequest

    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe_text(sections), encoding="utf-8")
    run = RunDir.new(read_recipe(recipe).recipe, folder / "run", folder)
    fine_tune(run, max_tokens=max_tokens, stop=StopRequest())
    return run.path


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file in which every line must be whole."""
    text = path.read_text(encoding="utf-8")
    assert not text or text.endswith("\n"), f"{path}: the last line is torn"
    return [json.loads(line) for line in text.splitlines()]


def losses(run: Path) -> list[tuple[str, str, int, float]]:
    """Return stage, kind, step and loss of each line of metrics.jsonl that has one."""
    rows = (row for row in read_json_lines(run / "metrics.jsonl") if row["kind"] != "guard")
    return [(row["stage"], row["kind"], row["step"], row["loss"]) for row in rows]


def scores(run: Path) -> list[dict[str, Any]]:
    """Return the tasks of verdict.json."""
    tasks: list[dict[str, Any]] = json.loads((run / "verdict.json").read_text(encoding="utf-8"))["tasks"]
    return tasks


def environment() -> dict[str, str]:
    """Return the environment for a process of its own: quiet, on one thread, as this one."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}
