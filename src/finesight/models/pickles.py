"""Weights in `.bin` files: pickles, of which only the tensors are ever read.

A pickle can run code when it is opened (CVE-2025-32434 was a way around torch's own guard). Here nothing but tensors
comes out of one: `weights_only`, of a torch in which that hole is closed.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch

from finesight.errors import ModelError

_NOT_WEIGHTS = "a checkpoint's weights are a dictionary of tensors, as transformers saves them"
_LFS_POINTER = b"version https://git-lfs"


def read_pickle(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a `.bin` file by their names; they stay on the disk until they are used.

    Raises `ModelError` for a file that is damaged, or holds something else than named tensors.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except UnpicklingError as error:
        if _begins_as(file, _LFS_POINTER):
            raise ModelError(f"{file}: a Git LFS pointer, not the file itself", hint="git lfs pull") from error
        raise refused_pickle(str(file), error) from error
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


def refused_pickle(where: str, error: UnpicklingError) -> ModelError:
    """Return what a person reads of a pickle that was not opened."""
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted is None:
        return ModelError(
            f"{where}: no pickle of tensors, or a damaged one",
            hint="is the download complete? Git LFS pointers count as missing",
        )
    return ModelError(
        f"{where}: refused: it is a pickle that would run {wanted[1]} when it is opened, and not weights alone",
        hint="do not open it elsewhere; use a checkpoint in safetensors, from a source that you trust",
    )


def _begins_as(file: Path, beginning: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(beginning)) == beginning
