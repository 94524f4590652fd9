"""What makes two runs of one recipe equal: the seeds, and algorithms that give the same bits each time."""

from __future__ import annotations

from transformers import enable_full_determinism, set_seed

from finesight.recipe.recipe import Recipe


def seed_everything(recipe: Recipe) -> None:
    """Seed Python's, NumPy's and torch's random numbers, and choose deterministic algorithms where a stage asks for it.

    To be called first before a GPU is used: its matrix products read the setting once. From then on torch raises
    `RuntimeError` for an operation that has no deterministic algorithm.
    """
    if any(stage.train.full_determinism for stage in recipe.each_stage()):
        enable_full_determinism(recipe.seed)
    else:
        set_seed(recipe.seed)
