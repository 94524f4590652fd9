"""The `data:` section: what is learned from, how it is divided into sets, and lengths."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from finesight.recipe.base import Spec
from finesight.recipe.sources import AnySource

Stratify = Literal["none", "answer_type", "question_type"]


class Split(Spec):
    """Shares of the training sources' groups that are set aside, and what makes a group."""

    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share that chooses the checkpoint."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share that the verdict is on."""
    stratify: Stratify = "none"
    """Give every set the same share of each type of answer or question, as nearly as whole groups can."""
    look_alikes: bool = True
    """Whether an image saved anew, at another size or quality, counts as the same: it stays in one set, and in two
    sets it is a leak. false: only files that are equal byte for byte count."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to learn from")
        return self


class Data(Spec):
    """What is learned from, what chooses, what is reported on."""

    train: tuple[AnySource, ...] = Field(min_length=1)
    """Sources to learn from. `weight` and `mixing_temperature` say how often each is seen."""
    validation: tuple[AnySource, ...] = ()
    """Sources that choose the checkpoint. Default: a share of the training sources."""
    test: tuple[AnySource, ...] = ()
    """Sources that the verdict is on. Default: a share of the training sources."""
    split: Split = Split()
    """Shares set aside, always by whole groups; ignored for a set that has its own sources."""
    max_length: int = Field(default=2048, gt=0)
    """Tokens an example may have, image tokens counted."""
    over_length: Literal["fail", "drop"] = "fail"
    """What to do with a longer example: `fail`, or `drop` it and say how many. Nothing is ever cut."""
    mixing_temperature: float = Field(default=1.0, ge=1)
    """1: each training source counts by its size. Higher: small ones count for more; very high: all alike."""
    leakage_threshold: float = Field(default=0.0, ge=0, lt=1)
    """Share of an evaluation set that may look like what is learned, or may ask the same without an image: up to it a
    warning, above it a failure. The same file, text or example is always a failure."""
    allow_leakage: bool = False
    """Go on although an evaluation set overlaps the training set; the report's headline then says so."""

    @model_validator(mode="after")
    def _roles_are_of_sources(self) -> Data:
        for source in (*self.train, *self.validation, *self.test):
            if source.role not in ("train", "replay"):
                raise ValueError(
                    f"a source's role is train or replay, and not {source.role} (hint: {source.role} is the role of a "
                    "task in evaluate)"
                )
        return self
