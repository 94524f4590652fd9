"""Reading and writing moondream2's tensors, in the layout that a checkpoint has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers.models.phi.modeling_phi import PhiRotaryEmbedding

from finesight.errors import ModelError, WriteError
from finesight.models.checkpoint_files import find_file
from finesight.models.loaded import Loaded
from finesight.models.location import Location
from finesight.models.moondream.config import CONFIG_FILE, Layout, MoondreamConfig, read_published
from finesight.models.moondream.formatter import TOKENIZER_FILE, MoondreamFormatter
from finesight.models.moondream.layouts import CARRIED, Shape, entries, find_layout
from finesight.models.moondream.model import MoondreamForConditionalGeneration
from finesight.models.parts import bare_parameters
from finesight.models.tokenizers import first_line
from finesight.models.weights import list_faults

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint as they lie in its files."""

    location: Location
    layout: Layout
    prefix: str
    """What stands before the names of the layout."""
    files: Mapping[str, Path]
    """Where each tensor is, by its name as it is written there."""
    shapes: Mapping[str, Shape]

    @property
    def carried(self) -> list[str]:
        """The names of tensors that nothing here uses, and that are written back as they were."""
        return sorted(name for name in self.files if name.startswith(self.prefix + CARRIED[self.layout]))

    def read(self, names: list[str]) -> dict[str, torch.Tensor]:
        """Return tensors by name. Raises `ModelError` where a file cannot be read."""
        try:
            with ExitStack() as stack:
                opened = {
                    file: stack.enter_context(safe_open(file, framework="pt"))
                    for file in {self.files[name] for name in names}
                }
                return {name: opened[self.files[name]].get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.location, error) from error


def open_checkpoint(location: Location) -> Checkpoint:
    """Return what a checkpoint holds; its tensors are not read yet.

    Raises `ModelError` where there are no weights, or their names are those of neither layout.
    """
    files: dict[str, Path] = {}
    shapes: dict[str, Shape] = {}
    for file in _weight_files(location):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    files[name] = file
                    shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise _unreadable(location, error) from error
    layout, prefix = find_layout(files)
    if layout is None:
        raise ModelError(
            f"{location}: its tensors are not named as those of any moondream2 (first: {min(files, default='none')})",
            hint="kind: moondream loads the revisions of vikhyatk/moondream2 from 2024 and 2025",
        )
    return Checkpoint(location, layout, prefix, files, shapes)


def fit_config(config: MoondreamConfig, checkpoint: Checkpoint) -> None:
    """Put into the configuration what the tensors alone tell: their layout, and how many views the projector takes.

    Revisions before May 2024 see the whole image alone, and say so nowhere else.
    """
    config.layout = checkpoint.layout
    (first,) = (entry for entry in entries(config) if entry.held == ("model.multi_modal_projector.fc1.weight",))
    shape = checkpoint.shapes.get(checkpoint.prefix + first.stored)
    if shape == (config.projector_hidden_size, config.vision_config.hidden_size):
        config.projector_views = 1


def fill(model: MoondreamForConditionalGeneration, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    """Give a model on the meta device the checkpoint's weights, in one number format, each tensor held once.

    Raises `ModelError` with what is missing, misshapen and left over where the tensors do not fit the model.
    """
    if faults := compare_shapes(model, checkpoint.shapes, checkpoint.prefix):
        raise ModelError(
            f"{checkpoint.location}: the weights do not fit moondream2 as config.json describes it; tensors "
            f"{'; '.join(faults)}",
            hint="a missing tensor would stay random; is the download complete, and of one revision?",
        )
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    parameters: dict[str, torch.Tensor] = {}
    for entry in entries(model.config):
        (tensor,) = checkpoint.read([checkpoint.prefix + entry.stored]).values()
        parameters.update(entry.hold(tensor.to(dtype), shapes))
    model.load_state_dict(parameters, assign=True, strict=True)
    # What is computed, not stored, has to be computed on a device that holds numbers.
    model.model.language_model.rotary_emb = PhiRotaryEmbedding(model.config.text_config)
    embeddings = model.model.vision_tower.embeddings
    embeddings.position_ids = nn.Buffer(torch.arange(embeddings.num_positions).expand(1, -1), persistent=False)
    empty = [name for name, buffer in model.named_buffers() if buffer.device.type == "meta"]
    assert not empty, f"buffers without numbers: {empty}"
    model.config.dtype = dtype
    model.checkpoint = checkpoint


def stored_tensors(model: nn.Module, config: MoondreamConfig, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return the model's weights as its layout names and shapes them.

    Raises `ModelError` where adapters sit on them.
    """
    parameters = {}
    for parameter in bare_parameters(model):
        if parameter.is_adapter:
            raise ModelError(
                "adapters have no place in moondream2's own layout", hint="merge them first, as finesight export does"
            )
        parameters[parameter.name] = parameter.parameter.detach()
    return {prefix + entry.stored: entry.store(parameters) for entry in entries(config)}


def compare_shapes(
    model: MoondreamForConditionalGeneration, shapes: Mapping[str, Shape], prefix: str = ""
) -> list[str]:
    """Return what of a checkpoint's tensors is missing, misshapen or left over, as `list_faults` words it.

    `model` may be on the meta device. What the original uses to point at regions is not left over.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in stored_tensors(model, model.config, prefix).items()}
    carried = prefix + CARRIED[model.config.layout]
    return list_faults(
        {
            "missing_keys": expected.keys() - shapes.keys(),
            "mismatched_keys": [
                (name, shapes[name], shape) for name, shape in expected.items() if shapes.get(name, shape) != shape
            ],
            "unexpected_keys": [name for name in shapes.keys() - expected.keys() if not name.startswith(carried)],
        }
    )


def moondream_state_dict(loaded: Loaded) -> dict[str, torch.Tensor]:
    """Return every tensor of the checkpoint that the model came from, by its name there, with the weights of now.

    What nothing here uses, as the region head, is read again from the checkpoint and comes as it was. Raises
    `ModelError` where adapters are not merged.
    """
    checkpoint = checkpoint_of(loaded)
    own = stored_tensors(loaded.model, loaded.model.config, checkpoint.prefix)
    return {name: tensor.cpu() for name, tensor in own.items()} | checkpoint.read(checkpoint.carried)


def checkpoint_of(loaded: Loaded) -> Checkpoint:
    """Return the checkpoint that a loaded moondream2 came from, whether or not peft has wrapped it."""
    model = next(module for module in loaded.model.modules() if isinstance(module, MoondreamForConditionalGeneration))
    assert isinstance(model.checkpoint, Checkpoint), "only `fill` gives a moondream2 its weights"
    return model.checkpoint


def save_moondream(loaded: Loaded, folder: Path) -> None:
    """Write the model into `folder` in the layout that it was loaded from: weights, configuration and tokenizer.

    Raises `OSError` or `WriteError` when the disk is full, and `ModelError` where adapters are not merged.
    """
    tensors = moondream_state_dict(loaded)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / _WHOLE, {"format": "pt"})
    except SafetensorError as error:
        raise WriteError(f"{folder}: the weights cannot be written ({error})", hint="is the disk full?") from error
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    published = {**read_published(checkpoint_of(loaded).location), "torch_dtype": dtype}
    (folder / CONFIG_FILE).write_text(json.dumps(published, indent=2) + "\n", encoding="utf-8")
    assert isinstance(loaded.formatter, MoondreamFormatter)
    shutil.copy(loaded.formatter.tokenizer_file, folder / TOKENIZER_FILE)


def _weight_files(location: Location) -> list[Path]:
    """Return the checkpoint's files of weights: one, or those that its index names. The hub's are fetched."""
    location.require_weights()
    if index := find_file(location, _INDEX):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = [_WHOLE]
    files = [find_file(location, name) for name in names]
    if missing := [name for name, file in zip(names, files, strict=True) if file is None]:
        raise ModelError(
            f"{location}: there is no {missing[0]}",
            hint="is the download complete? finesight convert makes .safetensors of .bin",
        )
    return [file for file in files if file is not None]


def _unreadable(location: Location, error: Exception) -> ModelError:
    return ModelError(f"{location}: the weights cannot be read ({first_line(error)})", hint="is the download complete?")
