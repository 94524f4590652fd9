"""Weights in `.bin` files: pickles, of which only the tensors are ever read.

A pickle can run code when it is opened (CVE-2025-32434 was a way around torch's own guard). Here nothing but tensors
comes out of one: `weights_only`, of a torch in which that hole is closed.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import IO

import torch

from finesight.errors import ModelError
from finesight.models.json_files import read_weight_map

WEIGHTS, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_NOT_WEIGHTS = "a checkpoint's weights are a dictionary of tensors, as transformers saves them"
_TENSOR_MODULES = ("torch", "collections", "numpy", "_codecs")
"""What pickles of tensors and arrays fetch themselves."""
_PICKLES_OF_OLD_FILES = 4
"""A file that torch wrote before it wrote archives: a magic number, its version, the system, and then the tensors."""
_LFS_POINTER = b"version https://git-lfs"


def list_shards(folder: Path) -> list[Path]:
    """Return the files of a folder's weights in `.bin`, as transformers names them; none where there are none.

    Raises `ModelError` for an index that cannot be read or leads out of the folder, a file that it lists and that is
    not there, and a Git LFS pointer.
    """
    if (folder / INDEX).is_file():
        files = [folder / name for name in sorted(set(read_weight_map(folder / INDEX).values()))]
    else:
        files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else []
    for file in files:
        if not file.is_file():
            raise ModelError(f"{file}: listed in {INDEX}, but not there", hint="is the download complete?")
        _require_no_pointer(file)
    return files


def read_pickle(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a `.bin` file by their names; they stay on the disk until they are used.

    Raises `ModelError` for a file that is damaged, or holds something else than named tensors.
    """
    try:
        with quietly_unpickled():
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except UnpicklingError as error:
        raise refused_pickle(str(file), error, [file]) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{file}: damaged", hint="is the download complete?") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: a {type(content).__name__}, not tensors by their names", hint=_NOT_WEIGHTS)
    strange = [
        str(name)
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided)
    ]
    if strange:
        raise ModelError(f"{file}: what it calls {strange[0]} is no tensor ({len(strange)} such)", hint=_NOT_WEIGHTS)
    return content


@contextmanager
def quietly_unpickled() -> Iterator[None]:
    """Keep back torch's word that a pickle of another protocol than its own is a matter for its developers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        yield


def refused_pickle(where: str, error: UnpicklingError, files: Iterable[Path]) -> ModelError:
    """Return what a person reads of a pickle that was not opened; it is one of `files`."""
    # torch names what it refuses only in pickles of its own protocol.
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    named = next((name for file in files for name in _find_code(file)), wanted and wanted[1])
    if named is None:
        return ModelError(
            f"{where}: no pickle of tensors that can be read safely, or a damaged one",
            hint="is the download complete? Git LFS pointers count as missing",
        )
    return ModelError(
        f"{where}: refused: it is a pickle that would run {named} when it is opened, and not weights alone",
        hint="do not open it elsewhere; use a checkpoint in safetensors, from a source that you trust",
    )


def _require_no_pointer(file: Path) -> None:
    """Raise `ModelError` for what Git LFS leaves in a large file's place."""
    with file.open("rb") as opened:
        if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise ModelError(f"{file}: a Git LFS pointer, not the file itself", hint="git lfs pull")


def _find_code(file: Path) -> Iterator[str]:
    """Yield what a pickle fetches by name when it is opened, as `os.system`, but for what tensors are made of.

    Nothing is run; it ends where the file is damaged.
    """
    try:
        if not zipfile.is_zipfile(file):
            with file.open("rb") as opened:
                for _ in range(_PICKLES_OF_OLD_FILES):
                    yield from _find_globals(opened)
            return
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as pickled:
                        yield from _find_globals(pickled)
    except (ValueError, RuntimeError, EOFError, zipfile.BadZipFile):  # pickletools' words, and zipfile's
        return


def _find_globals(pickled: IO[bytes]) -> Iterator[str]:
    """Yield the names that one pickle fetches. Raises `ValueError` where it is damaged."""
    memory: list[str] = []
    # What was put on the stack, as far as it is text: STACK_GLOBAL takes module and name from its top.
    texts: list[str] = [""]
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            texts.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            texts.append(".".join(texts[-2:]))
        elif opcode.name == "MEMOIZE":
            memory.append(texts[-1])
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int) and argument < len(memory):
            texts.append(memory[argument])
        elif opcode.stack_after:
            texts.append(argument if isinstance(argument, str) else "")
        if opcode.name.endswith("GLOBAL") and texts[-1].split(".")[0] not in _TENSOR_MODULES:
            yield texts[-1]
