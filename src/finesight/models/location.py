"""Where a checkpoint is: a folder on this machine or a name on the hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from finesight.errors import ModelError
from finesight.models.shipped import find_shipped

WEIGHT_SUFFIXES = (".safetensors", ".bin")


@dataclass(frozen=True)
class Location:
    """A folder, or a hub name and revision."""

    name_or_path: str
    revision: str | None
    is_folder: bool
    missing_folder: Path | None = field(default=None, compare=False)
    """Of a hub name: the folder that was looked for first, and is not there."""

    def __str__(self) -> str:
        return f"{self.name_or_path} (revision {self.revision})" if self.revision else self.name_or_path

    def require_weights(self) -> None:
        """Raise `ModelError` when a local folder holds no weights: transformers' own word for it is long."""
        if self.is_folder and not any(file.suffix in WEIGHT_SUFFIXES for file in Path(self.name_or_path).iterdir()):
            raise ModelError(
                f"{self}: the folder has no weights (no .safetensors or .bin file)",
                hint="is the download complete? Git LFS pointers count as missing",
            )


def locate(name_or_path: str, revision: str | None, data_root: Path) -> Location:
    """Return where `name_or_path` is. A path that exists below the data root wins over a shipped model's or hub's name.

    Raises `ModelError` for something that can only be a path, or a shipped model, and does not exist; for a revision of
    a folder, which has none; and for a hub name that is also a path from where the command was started.
    """
    folder = (data_root / Path(name_or_path).expanduser()).resolve()
    if folder.is_dir():
        _require_no_revision(folder, revision)
        return Location(str(folder), None, is_folder=True)
    if folder.exists():
        raise ModelError(f"{folder}: a file, not a checkpoint folder", hint="give the folder that holds config.json")
    if shipped := find_shipped(name_or_path):
        _require_no_revision(shipped, revision)
        return Location(str(shipped), None, is_folder=True)
    if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") != 1:
        from_here = "the path starts from the folder you are in; a name on the hub is OWNER/NAME"
        from_data_root = "the path is relative to the data root (--data-root)"
        hint = from_here if data_root == Path() else from_data_root
        raise ModelError(f"{folder}: no such checkpoint folder", hint=hint)
    if Path(name_or_path).exists():
        # transformers would take it for the checkpoint, whatever the data root is.
        raise ModelError(
            f"{folder}: no such checkpoint folder, but {Path(name_or_path).resolve()} is there",
            hint="the path is relative to the data root (--data-root), not to where the command is started; give the "
            "full path, or another data root",
        )
    return Location(name_or_path, revision, is_folder=False, missing_folder=folder)


def _require_no_revision(folder: Path, revision: str | None) -> None:
    """Raise `ModelError` where a folder is to be of a revision: nothing would make it that."""
    if revision is not None:
        raise ModelError(
            f"{folder}: a folder of this machine, which has no revision {revision}",
            hint="leave out revision, which is for names on the hub; the folder is taken as it is",
        )
