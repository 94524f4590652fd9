"""The verb that turns a checkpoint's weights into safetensors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from finesight.cli.options import JsonOption
from finesight.cli.output import print_json


def convert(
    checkpoint: Annotated[str, typer.Argument(metavar="FOLDER|NAME", help="A checkpoint's folder or hub name.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="Branch, tag or commit on the hub.")] = None,
    json: JsonOption = False,
) -> None:
    """Turn a checkpoint's weights from .bin into safetensors.

    A .bin file is a pickle, which may run code when it is opened: only tensors are read of it, and one that holds more
    is refused. Every tensor is compared after writing. The last line printed is the new folder's path.
    """
    from finesight.models.convert import convert_checkpoint

    converted = convert_checkpoint(checkpoint, folder, revision=revision)
    if json:
        print_json(
            {
                "folder": str(converted.folder),
                "files": converted.files,
                "tensors": converted.tensors,
                "size_bytes": converted.size_bytes,
                "dropped": list(converted.dropped),
            }
        )
        return
    for name in converted.dropped:
        print(f"left out: {name} (the model makes it itself)", file=sys.stderr)
    gib = converted.size_bytes / 2**30
    print(
        f"{converted.tensors:,} tensors ({gib:,.2f} GiB) in files: {converted.files}; equal to the last bit",
        file=sys.stderr,
    )
    print(converted.folder)
