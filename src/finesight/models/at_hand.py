"""Which checkpoints are on this machine, found without asking the network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from finesight.errors import ModelError
from finesight.models.location import locate

CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")
IMAGE_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_SMALL_SUFFIXES = (".json", ".jinja", ".txt", ".model")
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder."""

    folder: Path
    may_be_partial: bool
    """Whether it lies in the hub's cache, where a file may be missing because nobody has needed it yet."""

    def lacks(self, names: tuple[str, ...]) -> bool:
        """Return whether none of the files is there, and that is no fault of the checkpoint."""
        return self.may_be_partial and not any((self.folder / name).is_file() for name in names)

    def copy_settings(self, target: Path) -> None:
        """Copy everything that is neither weights nor adapter: tokenizer, templates, processors.

        A configuration that `target` has already is its own, and stays.
        """
        target.mkdir(parents=True, exist_ok=True)
        left_out = ("adapter", CONFIG_FILE) if (target / CONFIG_FILE).exists() else ("adapter",)
        for file in self.folder.iterdir():
            is_small = file.suffix in _SMALL_SUFFIXES and file.is_file() and file.stat().st_size <= _MOST_BYTES
            if is_small and not file.name.startswith(left_out) and not file.name.endswith(".index.json"):
                shutil.copy(file, target / file.name)


def find_checkpoint(
    name_or_path: str, revision: str | None, data_root: Path, *, file: str = CONFIG_FILE
) -> Checkpoint | None:
    """Return the folder of a checkpoint below the data root or in the hub's cache, or None where there is none.

    In the cache it must hold `file`. Raises `ModelError` for a path that is no folder and a name that no hub takes.
    """
    is_there = (data_root / Path(name_or_path).expanduser()).exists()
    if not is_there and (name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") != 1):
        return None
    location = locate(name_or_path, revision, data_root)
    if location.is_folder:
        return Checkpoint(Path(location.name_or_path), may_be_partial=False)
    return find_cached(name_or_path, revision, file)


def find_cached(name: str, revision: str | None, file: str = CONFIG_FILE) -> Checkpoint | None:
    """Return the folder of a checkpoint in the hub's cache, or None where that does not hold `file`.

    Raises `ModelError` for a name that no hub takes.
    """
    try:
        cached = try_to_load_from_cache(name, file, revision=revision)
    except HFValidationError as error:
        raise ModelError(
            f"{name}: neither a folder nor a name that the hub takes",
            hint="a hub name is owner/name, in letters, digits, - _ and .",
        ) from error
    return Checkpoint(Path(cached).parent, may_be_partial=True) if isinstance(cached, str) else None
