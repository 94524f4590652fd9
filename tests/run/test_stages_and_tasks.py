"""Several stages, every kind of task, and what is opened again afterwards."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_runs import (
    FROM_QUESTIONS,
    RECIPE,
    Ended,
    Finesight,
    WriteRecipe,
    losses,
    read_json_lines,
    recipe_text,
    scores,
    whole,
)

from finesight.rundir import RunDir

TRAIN = {"max_steps": 6, "global_batch_size": 8, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 3}
TWO_STAGES: dict[str, Any] = {
    "tune": None,
    "train": None,
    "stages": [
        {"name": "warmup", "tune": {"projector": "full"}, "train": TRAIN},
        {
            "name": "joint",
            "tune": {"projector": "full", "language": {"method": "lora", "r": 4, "lora_alpha": 8}},
            "train": {**TRAIN, "learning_rate": {"projector": 1e-3, "language": 2e-2}},
        },
    ],
}
FROM_FILES = {**TWO_STAGES, "data": FROM_QUESTIONS}


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two stages, on pictures that are files."""
    folder = tmp_path_factory.mktemp("stages")
    write_questions(folder)
    return whole(folder, FROM_FILES)
