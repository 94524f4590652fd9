"""What of a recipe is not as it was when a run began, and what of that a run which goes on goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finesight.recipe.recipe import Recipe, Stage
from finesight.recipe.train import Train

HELD_BY_CHECKPOINTS = (
    "learning_rate", "adamw_learning_rate", "optim", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon",
)  # fmt: skip
"""Fields of `train` that a checkpoint's optimizer holds: a run that goes on from one keeps them."""


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was, field by field, as `evaluate.held_out.max_new_tokens: 6 → 4`."""
    before, after = dict(_leaves(earlier)), dict(_leaves(now))
    return [
        f"{name}: {_word(before.get(name))} → {_word(after.get(name))}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def differences_beside_training(earlier: Recipe, now: Recipe) -> list[str]:
    """Return what differs of all but how the stages are trained: what no run may change that goes on."""
    return differences(_beside_training(earlier), _beside_training(now))


def differences_in_training(earlier: Recipe, now: Recipe) -> list[str]:
    """Return what differs in how the stages are trained; the recipes are alike beside it."""
    return [
        words
        for place, old, new in _paired(earlier, now)
        for words in differences({place: old.train.model_dump(mode="json")}, {place: new.train.model_dump(mode="json")})
    ]


def in_force(earlier: Recipe, now: Recipe, stages: Sequence[str]) -> Recipe:
    """Return the recipe as it now is, but for what the checkpoints of `stages` hold, which is as it was."""

    def kept(old: Stage, new: Stage) -> Train:
        if new.name not in stages:
            return new.train
        return new.train.model_copy(update={name: getattr(old.train, name) for name in HELD_BY_CHECKPOINTS})

    trained = [kept(old, new) for _, old, new in _paired(earlier, now)]
    if not now.stages:
        # One that leaves `train` out stays so: it has its defaults.
        return now if now.train is None and trained == [Train()] else now.model_copy(update={"train": trained[0]})
    changed = (stage.model_copy(update={"train": train}) for stage, train in zip(now.stages, trained, strict=True))
    return now.model_copy(update={"stages": tuple(changed)})


def _beside_training(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", by_alias=True, exclude={"train": True, "stages": {"__all__": {"train"}}})


def _paired(earlier: Recipe, now: Recipe) -> Iterator[tuple[str, Stage, Stage]]:
    """Yield each stage as it was and as it is, with the place of its `train` in the recipe."""
    for old, new in zip(earlier.each_stage(), now.each_stage(), strict=True):
        yield f"stages.{new.name}.train" if now.stages else "train", old, new


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of nested sections by their dotted names; the sections of a list by name, or by number."""
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from _leaves(value, f"{place}.{name}" if place else name)
    elif isinstance(content, list) and content and all(isinstance(section, Mapping) for section in content):
        for number, section in enumerate(content, start=1):
            yield from _leaves(section, f"{place}.{section.get('name') or number}")
    else:
        yield place, content


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
