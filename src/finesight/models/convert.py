"""A checkpoint's weights from `.bin` to safetensors, every tensor the same to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoConfig

from finesight.errors import ModelError, UserError, WriteError
from finesight.models.location import Location, locate
from finesight.models.pickles import read_pickle
from finesight.models.tokenizers import first_line
from finesight.runtime import follow

WEIGHTS, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_OTHER_WEIGHTS = (".bin", ".safetensors", ".h5", ".msgpack", ".ot", ".onnx", ".pt", ".pth", ".ckpt", ".gguf")
_POSITIONS = "position_ids"
"""A buffer of old checkpoints that only counts, and that models make themselves."""
_HEAD = "lm_head.weight"


@dataclass(frozen=True)
class Converted:
    """What became of a checkpoint."""

    folder: Path
    files: int
    tensors: int
    size_bytes: int
    dropped: tuple[str, ...]
    """Tensors left out: counting buffers, and a head that is the embedding itself."""


def convert_checkpoint(name_or_path: str, target: Path, *, revision: str | None = None) -> Converted:
    """Write a folder or hub checkpoint with weights in `.bin` to the new folder `target`, in safetensors.

    Settings, tokenizer and the like are copied. Every tensor is read back and compared before the folder gets its
    name, so there is never half of one. Raises `UserError` (also `ModelError`) for a checkpoint without weights in
    `.bin`, a pickle that holds more than tensors, and a folder that is there already.
    """
    if target.exists():
        raise UserError(f"{target}: is there already", hint="name a new folder")
    source = _folder_of(locate(name_or_path, revision, Path()))
    shards = _shards_of(source)
    drop_head = _is_tied(source)
    with _whole_folder(target) as staging:
        weight_map: dict[str, str] = {}
        dropped: list[str] = []
        size_bytes = 0
        for number, shard in enumerate(follow(shards, "converting", len(shards)), start=1):
            name = "model" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}"
            tensors, left_out = separate(read_pickle(shard), drop_head=drop_head)
            _write_shard(tensors, staging / f"{name}.safetensors", target)
            weight_map.update(dict.fromkeys(tensors, f"{name}.safetensors"))
            dropped += left_out
            size_bytes += sum(tensor.nbytes for tensor in tensors.values())
        if len(shards) > 1:
            index = {"metadata": {"total_size": size_bytes}, "weight_map": dict(sorted(weight_map.items()))}
            (staging / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        _copy_settings(source, staging)
    return Converted(target, len(shards), len(weight_map), size_bytes, tuple(dropped))


def separate(tensors: Mapping[str, torch.Tensor], *, drop_head: bool) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return tensors none of which shares memory with another, as safetensors wants them, and the names left out.

    Left out are buffers of positions, and with `drop_head` a head that is the embedding itself; whatever else shares
    memory becomes a copy of its own.
    """
    kept: dict[str, torch.Tensor] = {}
    dropped = [name for name in tensors if name.rpartition(".")[2] == _POSITIONS]
    memories, views = set(), set()
    # Heads last: of two names for one tensor, the embedding's keeps it.
    for name in sorted(tensors.keys() - set(dropped), key=lambda name: (name.endswith(_HEAD), name)):
        tensor = tensors[name]
        memory, view = tensor.untyped_storage().data_ptr(), (tensor.data_ptr(), tensor.shape, tensor.stride())
        if drop_head and name.endswith(_HEAD) and view in views:
            dropped.append(name)
            continue
        kept[name] = tensor.clone(memory_format=torch.contiguous_format) if memory in memories else tensor.contiguous()
        memories.add(memory)
        views.add(view)
    return kept, dropped


def _folder_of(location: Location) -> Path:
    """Return the checkpoint's folder, downloaded where it is a hub name; weights in other formats are left there."""
    if location.is_folder:
        return Path(location.name_or_path)
    unused = [f"*{suffix}" for suffix in _OTHER_WEIGHTS if suffix != ".bin"]
    try:
        return Path(snapshot_download(location.name_or_path, revision=location.revision, ignore_patterns=unused))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: cannot be downloaded ({first_line(error)})",
            hint="a hub name is owner/name, and needs the network",
        ) from error


def _shards_of(folder: Path) -> list[Path]:
    """Return the files of the weights. Raises `ModelError` where there are none, or one that is listed is missing."""
    if (folder / INDEX).is_file():
        names = sorted(set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()))
    elif (folder / WEIGHTS).is_file():
        names = [WEIGHTS]
    elif any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: its weights are in safetensors already", hint="use it as it is")
    else:
        raise ModelError(
            f"{folder}: no weights in .bin ({WEIGHTS}, or parts of it with {INDEX})", hint="is the download complete?"
        )
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"{folder / INDEX}: names {name}, which is not in the folder", hint="correct the index")
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name}: listed in {INDEX}, but not there", hint="is the download complete?")
    return [folder / name for name in names]


def _is_tied(folder: Path) -> bool:
    """Return whether the configuration says that the head is the embedding; where there is none, it is not known."""
    if not (folder / "config.json").is_file():
        return False
    try:
        config = AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError, TypeError, StrictDataclassError):
        return False  # a family that transformers does not know: both are kept, so nothing is lost
    except OSError as error:
        raise ModelError(f"{folder}: its config.json cannot be read ({first_line(error)})") from error
    return bool(config.get_text_config(decoder=True).tie_word_embeddings)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to write in, which takes its name when the block ends without an error."""
    staging = target.with_name(f"{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        staging.replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_shard(tensors: dict[str, torch.Tensor], file: Path, target: Path) -> None:
    """Write tensors, read them back, and compare them."""
    try:
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        raise WriteError(f"{target}: cannot be written ({error})", hint="is the disk full?") from error
    with safe_open(file, framework="pt") as written:
        names = set(written.keys())
        wrong = sorted(names ^ tensors.keys())
        wrong += [name for name in names & tensors.keys() if not _same(tensors[name], written.get_tensor(name))]
    if wrong:
        raise WriteError(
            f"{target}: {wrong[0]} was not written as it is ({len(wrong)} such)", hint="is the disk sound?"
        )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are the same bit by bit: NaN is equal to itself, 0 is not -0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (one, other)))


def _copy_settings(source: Path, target: Path) -> None:
    """Copy what is neither weights nor an index of them."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix not in _OTHER_WEIGHTS and not file.name.endswith(".index.json"):
            shutil.copy(file, target / file.name)
