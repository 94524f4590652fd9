"""Whether a recipe's model is the published one: its blueprint's tensors put through the loader, without weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig

from finesight.models.assemble import assembled_config, tower_class
from finesight.models.blueprint import Blueprint, TensorSpec, find_blueprint
from finesight.models.configs import find_stand_in
from finesight.models.llava import read_llava_config
from finesight.models.llava_phi import HEAD_BIAS, llava_class
from finesight.models.load import silence_libraries
from finesight.models.location import Location, locate
from finesight.models.moondream.checkpoint import compare_shapes
from finesight.models.moondream.layouts import find_layout
from finesight.models.moondream.load import describe_moondream, meta_moondream
from finesight.models.text import meta_text, read_text_config
from finesight.models.weights import list_faults
from finesight.recipe.model import AssembledModel, LlavaModel, Model, MoondreamModel, PartSource, TextModel

FORMATS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int64": torch.int64,
    "uint8": torch.uint8,
}


@dataclass(frozen=True)
class Fitted:
    """A published checkpoint that a recipe names, held against the model that the recipe makes of it."""

    blueprint: Blueprint
    stands_in: bool
    """Whether the configuration was the blueprint's own, because none is on this machine."""
    faults: tuple[str, ...]
    """What is missing, misshapen or left over, with the first names of each."""


def fit_published(spec: Model, data_root: Path) -> Iterator[Fitted]:
    """Yield each checkpoint of the recipe's model that a blueprint describes, held against the model without weights.

    Raises `ModelError` for a configuration that does not fit the recipe's kind of model.
    """
    silence_libraries()
    match spec:
        case LlavaModel():
            if known := _find_known(spec.name_or_path, spec.revision, data_root):
                llava = read_llava_config(known.location, may_stand_in=True)
                yield known.fit(llava_class(llava), llava, may_lack=(HEAD_BIAS,))
        case TextModel():
            if known := _find_part(spec, data_root):
                config = read_text_config(spec, data_root, may_stand_in=True)
                yield known.fit(type(meta_text(config)), config)
        case MoondreamModel():
            if known := _find_known(spec.name_or_path, spec.revision, data_root):
                shapes = {name: tensor.shape for name, tensor in known.blueprint.manifest().items()}
                _, prefix = find_layout(shapes)
                moondream = meta_moondream(describe_moondream(spec, data_root, may_stand_in=True))
                yield known.told(compare_shapes(moondream, shapes, prefix))
        case AssembledModel():
            vision, language = _find_part(spec.vision, data_root), _find_part(spec.language, data_root)
            if vision or language:
                whole = assembled_config(spec, data_root, may_stand_in=True)
            if vision:
                yield vision.fit(tower_class(whole.vision_config), whole.vision_config, may_hold_more=True)
            if language:
                yield language.fit(type(meta_text(whole.text_config)), whole.text_config)


def describe_stand_ins(spec: Model, data_root: Path) -> Iterator[str]:
    """Yield a line for each checkpoint of the recipe's model that is not on this machine, and has a blueprint."""
    for name, revision in named_checkpoints(spec):
        if find_stand_in(locate(name, revision, data_root)):
            yield f"{name} is not on this machine: its blueprint stands in (finesight list blueprints)"


def named_checkpoints(spec: Model) -> Iterator[tuple[str, str | None]]:
    """Yield name and revision of each checkpoint that the recipe's model is made of."""
    for source in (spec.vision, spec.language) if isinstance(spec, AssembledModel) else (spec,):
        if source.name_or_path is not None:
            yield source.name_or_path, source.revision


def fit_manifest(
    model_class: Any,
    config: PreTrainedConfig,
    manifest: Mapping[str, TensorSpec],
    *,
    may_hold_more: bool = False,
    may_lack: tuple[str, ...] = (),
) -> list[str]:
    """Return what of a manifest's tensors is missing, misshapen or left over in the model that `config` describes.

    transformers' own loading does it, old names and all; as the tensors are on the meta device, nothing is read or
    written. `may_hold_more` and `may_lack` are those of `load_weights`.
    """
    tensors = {
        name: torch.empty(spec.shape, dtype=FORMATS[spec.dtype], device="meta") for name, spec in manifest.items()
    }
    _, info = model_class.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        device_map={"": "meta"},
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    return list_faults(info, may_hold_more=may_hold_more, may_lack=may_lack)


@dataclass(frozen=True)
class _Known:
    """A checkpoint on the hub that has a blueprint."""

    location: Location
    blueprint: Blueprint

    def fit(
        self,
        model_class: Any,
        config: PreTrainedConfig,
        *,
        may_hold_more: bool = False,
        may_lack: tuple[str, ...] = (),
    ) -> Fitted:
        manifest = self.blueprint.manifest()
        return self.told(fit_manifest(model_class, config, manifest, may_hold_more=may_hold_more, may_lack=may_lack))

    def told(self, faults: list[str]) -> Fitted:
        return Fitted(self.blueprint, find_stand_in(self.location) is not None, tuple(faults))


def _find_part(source: PartSource, data_root: Path) -> _Known | None:
    return None if source.name_or_path is None else _find_known(source.name_or_path, source.revision, data_root)


def _find_known(name: str, revision: str | None, data_root: Path) -> _Known | None:
    blueprint = find_blueprint(name, revision)
    if blueprint is None:
        return None
    location = locate(name, revision, data_root)
    # A folder of that name below the data root is the user's own.
    return None if location.is_folder else _Known(location, blueprint)
