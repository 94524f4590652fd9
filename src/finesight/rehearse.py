"""A rehearsal: the same recipe in miniature, with stand-ins for its data, through every step of a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from finesight.data.standins.places import Places
from finesight.data.standins.write import write_stand_ins
from finesight.evaluate.metrics import clip_score
from finesight.models.miniature import make_miniature
from finesight.models.miniature_clip import make_miniature_clip
from finesight.processes import once
from finesight.recipe.evaluate import ClipCheckpoint
from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Recipe
from finesight.recipe.train import Train
from finesight.recipe.tune import Lora, PartTuning, Tune
from finesight.rundir import REHEARSAL, RunDir
from finesight.runtime import is_first_process, say
from finesight.schema import PART_NAMES

STEPS = 4
"""Optimizer steps of a stage, with a validation in the middle and one at the end."""
EXAMPLES_A_STEP = 4
RANK = 4
NEW_TOKENS = 4


@dataclass(frozen=True)
class Rehearsal:
    """A recipe in miniature. Its paths start from the folder that it was written into."""

    recipe: Recipe
    words: tuple[str, ...]
    """What was replaced by what; what had to be assumed or left out begins with "warning"."""


def rehearse(recipe: Recipe, data_root: Path, folder: Path) -> Rehearsal:
    """Return the same recipe in miniature, and write all that it reads into `folder`.

    Nothing of the recipe's data is read, nothing is downloaded. Raises `ModelError` for faults of a checkpoint that
    is on this machine.
    """
    places = Places(data_root)
    stand_ins = write_stand_ins(recipe, data_root, folder, places, pictures=not isinstance(recipe.model, TextModel))
    miniature = make_miniature(recipe.model, data_root=data_root, folder=folder, places=places, seed=recipe.seed)
    words, clip = [*stand_ins.words, *miniature.words], recipe.clip
    if any({task.metric, *task.also} & set(clip_score.NAMES) for task in recipe.evaluate):
        words += make_miniature_clip(clip, data_root=data_root, folder=folder, places=places, seed=recipe.seed)
        clip = ClipCheckpoint(name_or_path=places.of(clip.name_or_path))
    stages, left_out = _shorten(recipe)
    if recipe.model.continue_from is not None:
        left_out.append("warning: model.continue_from is left out: what it learned does not fit a miniature")
    small = recipe.model_copy(
        update={
            "model": miniature.spec.model_copy(update={"continue_from": None}),
            "clip": clip,
            "data": stand_ins.data,
            "evaluate": tuple(
                task.model_copy(update={"max_new_tokens": min(task.max_new_tokens, NEW_TOKENS)})
                for task in stand_ins.tasks
            ),
            **stages,
        }
    )
    # Read once more, as a file is: a miniature that is no recipe must not pass for one.
    checked = Recipe.model_validate_json(small.model_dump_json(by_alias=True), strict=True)
    return Rehearsal(checked, (*words, *left_out))


@contextmanager
def rehearsing(run: RunDir) -> Iterator[RunDir]:
    """Yield the run folder of the rehearsal of a run, which has not begun; the stand-ins lie in it.

    What was written is taken away again when the rehearsal does not begin, as with a recipe that cannot work.
    """
    folder = run.path / REHEARSAL
    try:
        rehearsal = once(partial(rehearse, run.recipe, run.data_root, folder))
        for words in rehearsal.words:
            say(words)
        run.save(REHEARSAL, {"data_root": str(run.data_root), "replaced": list(rehearsal.words)})
        yield RunDir(run.path, rehearsal.recipe, folder)
    finally:
        if is_first_process() and not run.has_begun:
            shutil.rmtree(folder, ignore_errors=True)
            (run.path / f"{REHEARSAL}.json").unlink(missing_ok=True)


def _shorten(recipe: Recipe) -> tuple[dict[str, Any], list[str]]:
    """Return the recipe's stages of a few small steps each, and what this machine cannot do of them."""
    left_out: list[str] = []
    if recipe.tune is not None:
        train = _shorter(recipe.train or Train(), left_out)
        return {"tune": _smaller_adapters(recipe.tune), "train": train}, left_out
    stages = tuple(
        stage.model_copy(update={"tune": _smaller_adapters(stage.tune), "train": _shorter(stage.train, left_out)})
        for stage in recipe.stages
    )
    return {"stages": stages}, list(dict.fromkeys(left_out))


def _shorter(train: Train, left_out: list[str]) -> Train:
    steps = min(train.max_steps or STEPS, STEPS)
    between = max(1, steps // 2)
    update: dict[str, object] = {
        "max_steps": steps,
        "global_batch_size": min(train.global_batch_size, EXAMPLES_A_STEP),
        "warmup_steps": min(train.warmup_steps, 1.0),
        "logging_steps": 1,
        "eval_steps": between,
        "save_steps": between if train.save_steps else None,
        "dataloader_num_workers": min(train.dataloader_num_workers, 1),
    }
    if train.fp16 and not torch.cuda.is_available():
        left_out.append("warning: train.fp16 is left out: this machine has no GPU")
        update["fp16"] = False
    if "8bit" in train.optim and find_spec("bitsandbytes") is None:
        left_out.append(f"warning: train.optim: adamw_torch for {train.optim}, which needs bitsandbytes")
        update["optim"] = "adamw_torch"
    elif train.optim == "paged_adamw_8bit" and not torch.cuda.is_available():
        left_out.append("warning: train.optim: adamw_8bit for paged_adamw_8bit: this machine has no GPU")
        update["optim"] = "adamw_8bit"
    return train.model_copy(update=update)


def _smaller_adapters(tune: Tune) -> Tune:
    return Tune(**{part: _smaller_adapter(tune.of(part)) for part in PART_NAMES})


def _smaller_adapter(tuning: PartTuning) -> PartTuning:
    """Return adapters of a rank that fits the miniature, whose effect is scaled as it was."""
    if not isinstance(tuning, Lora) or tuning.r <= RANK:
        return tuning
    return tuning.model_copy(update={"r": RANK, "lora_alpha": tuning.lora_alpha * RANK / tuning.r})
