"""Saving and loading everything that was trained: adapters as peft's own files, full parts beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from finesight.errors import ModelError
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.schema import PART_NAMES, PartName
from finesight.tune.peft_quiet import without_renaming_warning

ADAPTERS_FOLDER = "adapters"
PARTS_FOLDER = "parts"
ADAPTER_FILE = "adapter_model.safetensors"


def save_trained(loaded: Loaded, folder: Path) -> None:
    """Write what the model has learned below `folder`.

    `adapters/<part>/` are peft's own files, for any tool that reads them. `parts/<part>.safetensors` hold the parts
    whose own weights changed: peft's files leave them out without a word.
    """
    save_adapters(loaded, folder)
    save_parts(loaded, folder, loaded.changed_parts)


def save_adapters(loaded: Loaded, folder: Path) -> None:
    """Write the model's adapters, where it has some, as `adapters/<part>/`."""
    if isinstance(loaded.model, PeftModel):
        loaded.model.save_pretrained(folder / ADAPTERS_FOLDER)


def save_parts(loaded: Loaded, folder: Path, parts: set[PartName] | frozenset[PartName]) -> None:
    """Write the own weights of `parts` as `parts/<part>.safetensors`."""
    (folder / PARTS_FOLDER).mkdir(parents=True, exist_ok=True)
    for part in PART_NAMES:
        if part in parts:
            tensors = {name: tensor.detach().contiguous() for name, tensor in _own_tensors(loaded, part)}
            save_file(tensors, folder / PARTS_FOLDER / f"{part}.safetensors", metadata={"format": "pt"})


def load_trained(loaded: Loaded, folder: Path) -> None:
    """Read back what `save_trained` wrote, in place. Adapters that the model has not yet are added.

    Raises `ModelError` when the files are not there, are damaged, or do not fit the model.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: the checkpoint is not there any more", hint="restore it, or run again")
    load_parts(loaded, folder)
    adapters = sorted(file.parent for file in (folder / ADAPTERS_FOLDER).glob("*/adapter_config.json"))
    for adapter in adapters:
        part = adapter.name
        with without_renaming_warning():
            if not isinstance(loaded.model, PeftModel):
                loaded.model = PeftModel.from_pretrained(loaded.model, adapter, adapter_name=part, is_trainable=True)
            elif part not in loaded.model.peft_config:
                loaded.model.load_adapter(adapter, adapter_name=part, is_trainable=True)
            else:
                _read_adapter(loaded.model, adapter)
    if adapters:
        loaded.model.base_model.set_adapter([adapter.name for adapter in adapters])
    loaded.model.to(loaded.device)


def _read_adapter(model: PeftModel, adapter: Path) -> None:
    """Read an adapter into the one of that name that the model has."""
    try:
        set_peft_model_state_dict(model, read_tensors(adapter / ADAPTER_FILE), adapter_name=adapter.name)
    except RuntimeError as error:
        raise ModelError(
            f"{adapter}: the adapter does not fit the {adapter.name} part as the recipe tunes it",
            hint="the run folder belongs to another model, or the recipe was changed since",
        ) from error


def take_off_adapters(loaded: Loaded) -> None:
    """Leave the model without adapters, and its weights as they are beneath them."""
    if isinstance(loaded.model, PeftModel):
        loaded.model = loaded.model.unload()


def stored_parts(folder: Path) -> frozenset[PartName]:
    """Return the parts whose own weights `save_trained` or `save_parts` wrote below `folder`."""
    return frozenset(part for part in PART_NAMES if (folder / PARTS_FOLDER / f"{part}.safetensors").exists())


def load_parts(loaded: Loaded, folder: Path) -> None:
    """Read the parts' own weights back, in place."""
    for part in PART_NAMES:
        file = folder / PARTS_FOLDER / f"{part}.safetensors"
        if not file.exists():
            continue
        stored = read_tensors(file)
        own = dict(_own_tensors(loaded, part))
        if stored.keys() != own.keys() or any(stored[name].shape != own[name].shape for name in stored):
            different = sorted(stored.keys() ^ own.keys())
            raise ModelError(
                f"{file}: {len(stored)} tensors that do not fit this model's {part} part ({len(own)} tensors; "
                f"first difference: {different[0] if different else 'a shape'})",
                hint="the run folder belongs to another model, or the recipe was changed since",
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(stored[name])


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file. Raises `ModelError` when it is damaged."""
    try:
        tensors: dict[str, torch.Tensor] = load_file(file)
    except SafetensorError as error:
        raise ModelError(f"{file}: damaged ({error})", hint="restore it from a copy, or run again") from error
    return tensors


def _own_tensors(loaded: Loaded, part: PartName) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a part's own parameters by bare name, adapters left out, tied ones once."""
    for parameter in bare_parameters(loaded.model):
        if not parameter.is_adapter and loaded.parts.part_of(parameter.name) == part:
            yield parameter.name, parameter.parameter
