"""`.bin` becomes safetensors: every tensor as it was, nothing but tensors read, and no half of a folder."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import load_folder, logits_of, rewrite_json, save_folder
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner

from finesight.cli.main import build
from finesight.errors import ModelError, UserError, WriteError
from finesight.models import convert
from finesight.models.convert import convert_checkpoint
from finesight.models.loaded import Loaded
from finesight.schema import Example

Tensors = dict[str, Any]
EMBEDDING, HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
POSITIONS = "vision_tower.vision_model.embeddings.position_ids"


@pytest.fixture(scope="module")
def original(make_model: Callable[..., Loaded]) -> Loaded:
    return make_model("clip_vision_model", "gemma")


@pytest.fixture
def folder(original: Loaded, tmp_path: Path) -> Path:
    """A checkpoint of the years of `.bin`: a tied head under both its names, and buffers that count positions."""
    folder = save_folder(original, tmp_path / "bin")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    tensors[HEAD] = tensors[EMBEDDING]
    tensors[POSITIONS] = torch.arange(17)[None]
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def change(folder: Path, changed: Callable[[Tensors], object]) -> None:
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    changed(tensors)
    torch.save(tensors, folder / "pytorch_model.bin")


def divide(folder: Path, parts: int) -> None:
    """Divide the weights into files with an index, as large checkpoints have them."""
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    (folder / "pytorch_model.bin").unlink()
    names = sorted(tensors)
    weight_map = {name: f"pytorch_model-{number % parts + 1:05}-of-{parts:05}.bin" for number, name in enumerate(names)}
    for file in set(weight_map.values()):
        torch.save({name: tensors[name] for name in names if weight_map[name] == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def written(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        tensors |= load_file(file)
    return tensors


@pytest.mark.parametrize("parts", [1, 3])
def test_the_converted_folder_is_the_same_model(
    parts: int, original: Loaded, folder: Path, tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    before = torch.load(folder / "pytorch_model.bin", weights_only=True)
    if parts > 1:
        divide(folder, parts)
    converted = convert_checkpoint(str(folder), tmp_path / "new" / "safe")
    after = written(converted.folder)
    assert (converted.files, converted.tensors) == (parts, len(after))
    assert converted.size_bytes == sum(tensor.nbytes for tensor in after.values())
    assert before.keys() - after.keys() == set(converted.dropped)
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    assert torch.equal(logits_of(load_folder(converted.folder), examples[0]), logits_of(original, examples[0]))
    settings = {file.name for file in folder.iterdir() if ".bin" not in file.name}
    assert settings <= {file.name for file in converted.folder.iterdir()}
    assert not list(converted.folder.glob("*.bin*"))


def test_the_index_says_where_every_tensor_is(folder: Path, tmp_path: Path) -> None:
    divide(folder, 2)
    convert_checkpoint(str(folder), tmp_path / "safe")
    index = json.loads((tmp_path / "safe" / "model.safetensors.index.json").read_text())
    there = {}
    for file in (tmp_path / "safe").glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            there |= dict.fromkeys(opened.keys(), file.name)
            assert opened.metadata() == {"format": "pt"}
    assert index["weight_map"] == there
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in written(tmp_path / "safe").values())


def untie(config: dict[str, Any]) -> None:
    config["tie_word_embeddings"] = False
    config["text_config"]["tie_word_embeddings"] = False


@pytest.mark.parametrize(("tied", "dropped"), [(True, {POSITIONS, HEAD}), (False, {POSITIONS})])
def test_a_head_that_is_the_embedding_is_left_out_or_copied_as_the_configuration_says(
    tied: bool, dropped: set[str], folder: Path, tmp_path: Path
) -> None:
    if not tied:
        rewrite_json(folder / "config.json", untie)
    converted = convert_checkpoint(str(folder), tmp_path / "safe")
    assert set(converted.dropped) == dropped
    after = written(tmp_path / "safe")
    if not tied:
        assert torch.equal(after[HEAD], after[EMBEDDING])


def test_a_head_of_its_own_stays_whatever_the_configuration_says(folder: Path, tmp_path: Path) -> None:
    change(folder, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING] + 1}))
    assert HEAD not in convert_checkpoint(str(folder), tmp_path / "safe").dropped


def test_views_of_one_memory_and_strange_numbers_are_kept_to_the_bit(tmp_path: Path) -> None:
    source = tmp_path / "bin"
    source.mkdir()
    base = torch.randn(4, 6)
    tensors = {
        "a.whole": base,
        "b.part": base[1:3],
        "c.turned": base.T,
        "d.nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "e.half": torch.randn(3).bfloat16(),
        "f.count": torch.tensor(7),
        "g.none": torch.empty(0, 3),
    }
    torch.save(tensors, source / "pytorch_model.bin")
    convert_checkpoint(str(source), tmp_path / "safe")
    after = written(tmp_path / "safe")
    assert after.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name].nan_to_num(9), tensor.nan_to_num(9))


def test_a_pickle_of_the_oldest_kind_is_read(folder: Path, tmp_path: Path) -> None:
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert convert_checkpoint(str(folder), tmp_path / "safe").tensors == len(tensors) - 2


# What is refused.


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_plainly(zipped: bool, folder: Path, tmp_path: Path) -> None:
    poisoned = {"a": torch.zeros(2), "b": Malicious(tmp_path / "ran")}
    torch.save(poisoned, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    result = CliRunner().invoke(build(), ["convert", str(folder), str(tmp_path / "safe")])
    assert result.exit_code == 2
    assert "refused: it is a pickle that would run" in result.stderr
    assert ".system when it is opened" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "safe").exists()


def write(content: object) -> Callable[[Path], object]:
    return lambda folder: torch.save(content, folder / "pytorch_model.bin")


def truncate(folder: Path) -> None:
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[: len(content) // 2])


def point(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")


def lose_a_shard(folder: Path) -> None:
    divide(folder, 2)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()


def point_outside(folder: Path) -> None:
    divide(folder, 2)
    rewrite_json(
        folder / "pytorch_model.bin.index.json", lambda index: index["weight_map"].update({HEAD: "../other.bin"})
    )


def convert_first(folder: Path) -> None:
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, r"pytorch_model\.bin: (damaged|no pickle of tensors)"),
        (point, "a Git LFS pointer"),
        (write([torch.zeros(2)]), "a list, not tensors by their names"),
        (write({"state_dict": {"a": torch.zeros(2)}}), "what it calls state_dict is no tensor"),
        (write({"a": torch.zeros(2).to_sparse()}), "what it calls a is no tensor"),
        (lose_a_shard, r"pytorch_model-00002-of-00002\.bin: listed in .*, but not there"),
        (point_outside, r"names \.\./other\.bin, which is not in the folder"),
        (convert_first, "in safetensors already"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), r"no weights in \.bin"),
    ],
    ids=["torn", "pointer", "list", "nested", "sparse", "shard", "outside", "safetensors", "none"],
)
def test_what_is_no_checkpoint_in_bin_is_refused(
    spoil: Callable[[Path], object], message: str, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        convert_checkpoint(str(folder), tmp_path / "safe")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_a_folder_that_is_there_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    with pytest.raises(UserError, match="is there already"):
        convert_checkpoint(str(folder), tmp_path / "safe")


def full_disk(*_: object, **__: object) -> None:
    raise SafetensorError("I/O error: No space left on device (os error 28)")


def full_disk_of_settings(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "fault", "error"),
    [("save_file", full_disk, WriteError), ("_copy_settings", full_disk_of_settings, OSError)],
)
def test_a_full_disk_leaves_nothing_half_written(
    where: str,
    fault: Callable[..., None],
    error: type[Exception],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convert, where, fault)
    with pytest.raises(error):
        convert_checkpoint(str(folder), tmp_path / "safe")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_a_tensor_that_comes_back_otherwise_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = convert.save_file

    def save_wrongly(tensors: Tensors, file: Path, metadata: dict[str, str]) -> None:
        save({**tensors, EMBEDDING: -tensors[EMBEDDING]}, file, metadata)

    monkeypatch.setattr(convert, "save_file", save_wrongly)
    with pytest.raises(WriteError, match=f"{EMBEDDING} was not written as it is"):
        convert_checkpoint(str(folder), tmp_path / "safe")
    assert not (tmp_path / "safe").exists()


def test_the_verb_prints_the_new_folder(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["convert", str(folder), str(tmp_path / "safe")])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(tmp_path / "safe")]
    assert HEAD in result.stderr
    assert "equal to the last bit" in result.stderr
    result = CliRunner().invoke(build(), ["convert", str(folder), str(tmp_path / "again"), "--json"])
    assert json.loads(result.stdout)["dropped"] == [POSITIONS, HEAD]
