"""What is known of published models without their weights: configuration, tokens, and every tensor of the checkpoint.

A blueprint is a small file in `blueprints/`. Where a checkpoint is not on this machine, it stands in for the
configuration alone: parameters are counted and a rehearsal is cut from it, but weights never come from one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

_BRACES = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as it lies in a checkpoint's file."""

    shape: tuple[int, ...]
    dtype: str
    """Its number format by torch's name, as `bfloat16`."""


class Facts(BaseModel):
    """A piece of a blueprint: frozen, and nothing in it that is not described here."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TokenizerFacts(Facts):
    """What the published tokenizer is like."""

    tokens: int
    """How many tokens it has. The language model may have embeddings for more."""
    ids: dict[str, int]
    """Its special tokens, and the id of each."""
    bos: str | None = None
    eos: str
    pad: str | None = None
    adds_bos: bool
    """Whether it puts bos before a text by itself."""


class ChatFacts(Facts):
    """What the published chat template is like."""

    content: Literal["string", "list"]
    """Whether a message's content is a text, or a list of pieces."""
    has_bos: bool
    """Whether the template itself begins with bos."""
    template: str
    """A template that writes the same text, in Jinja."""


class ImageFacts(Facts):
    """What the published image processor does."""

    size: int
    """Side in pixels of what the vision encoder takes."""
    crop: Literal["center", "none"]
    """Whether the shorter side is resized and the rest cut off, or the picture is squeezed into the square."""
    resample: Literal["bilinear", "bicubic", "lanczos"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Shape(Facts):
    """A line of a manifest whose number format is not the checkpoint's usual one."""

    shape: tuple[int, ...]
    dtype: str


class Blueprint(Facts):
    """A published model."""

    about: str
    """The first line of its file."""
    names: tuple[str, ...]
    """The hub names that it stands for."""
    revisions: tuple[str, ...] = ("*",)
    """Which of the hub's revisions, as shell patterns. A recipe that names none means `main`."""
    known: str
    """What of it is known to be as published."""
    inferred: str
    """What follows from the architecture and was not seen."""
    architecture: str
    """The class that its weights are of."""
    config: dict[str, Any]
    """Its configuration as transformers writes one, with `model_type`; what is left out is transformers' default."""
    tokenizer: TokenizerFacts | None = None
    chat: ChatFacts | None = None
    images: ImageFacts | None = None
    dtype: str
    """The number format of its weights."""
    tensors: dict[str, tuple[int, ...] | Shape]
    """The checkpoint's tensors: shapes by name. Braces stand for several names: `layers.{0..21}.{q,k}_proj.weight`."""

    @property
    def name(self) -> str:
        """The hub name by which it is called first."""
        return self.names[0]

    def manifest(self) -> Mapping[str, TensorSpec]:
        """Return every tensor of the published checkpoint, by the name that it has there."""
        specs: dict[str, TensorSpec] = {}
        for pattern, entry in self.tensors.items():
            spec = TensorSpec(entry.shape, entry.dtype) if isinstance(entry, Shape) else TensorSpec(entry, self.dtype)
            for name in expand_braces(pattern):
                if name in specs:
                    raise ValueError(f"{self.name}: {name} stands twice in the manifest")
                specs[name] = spec
        return specs

    def stands_for(self, name: str, revision: str | None) -> bool:
        """Return whether it describes this revision of a hub name."""
        return name in self.names and any(fnmatchcase(revision or "main", pattern) for pattern in self.revisions)


def find_blueprint(name_or_path: str, revision: str | None = None) -> Blueprint | None:
    """Return the blueprint of a hub name, or None where none is known. A folder has none: it says all of itself."""
    return next((known for known in read_blueprints() if known.stands_for(name_or_path, revision)), None)


@cache
def read_blueprints() -> tuple[Blueprint, ...]:
    """Return all blueprints, in the order of their files' names."""
    folder = Path(str(files("finesight.models"))) / "blueprints"
    return tuple(map(_read, sorted(folder.glob("*.yaml"))))


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield the names that a pattern stands for: `{0..3}` a range, both ends included, `{a,b}` a choice."""
    pieces = _BRACES.split(pattern)
    # Every second piece is what stood between braces.
    choices = [_choices(piece) if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return map("".join, itertools.product(*choices))


def _choices(inside: str) -> list[str]:
    if bounds := _RANGE.fullmatch(inside):
        return [str(number) for number in range(int(bounds[1]), int(bounds[2]) + 1)]
    return inside.split(",")


def _read(file: Path) -> Blueprint:
    text = file.read_text(encoding="utf-8")
    about = text.splitlines()[0].removeprefix("# ")
    return Blueprint.model_validate({"about": about, **yaml.safe_load(text)})
