"""The one door through which a checkpoint's configuration comes: its folder, the hub's cache, a blueprint, the hub."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig

from finesight.errors import ModelError
from finesight.models.at_hand import CONFIG_FILE, find_cached
from finesight.models.blueprint import Blueprint, find_blueprint
from finesight.models.checkpoint_files import no_model_there
from finesight.models.json_files import read_json
from finesight.models.kinds import MOONDREAM_TYPE, name_kind
from finesight.models.location import Location


def open_config(location: Location, *, hint: str, may_stand_in: bool) -> PreTrainedConfig:
    """Return a checkpoint's configuration.

    With `may_stand_in`, a checkpoint that is not on this machine is described by its blueprint, where there is one, and
    the network is not asked; what loads weights must not have that. Raises `ModelError`, with `hint`, where there is
    no configuration, and for a moondream2, of which transformers has no class.
    """
    if may_stand_in and (blueprint := find_stand_in(location)):
        _require_no_moondream(location, blueprint.config["model_type"])
        return read_blueprint_config(blueprint)
    try:
        # Without a word on it, transformers would ask at the terminal whether to run the checkpoint's own code.
        return AutoConfig.from_pretrained(location.name_or_path, revision=location.revision, trust_remote_code=False)
    except OSError as error:
        raise no_model_there(location, error, hint=hint) from error
    except ValueError as error:  # there is a configuration, but of a type that transformers does not know
        _require_no_moondream(location, _read_type(location))
        raise no_model_there(location, error, hint=hint) from error


def _require_no_moondream(location: Location, model_type: str | None) -> None:
    if model_type == MOONDREAM_TYPE:
        raise ModelError(f"{location}: a moondream2, of which transformers has no class", hint=name_kind(model_type))


def _read_type(location: Location) -> str | None:
    """Return the type that config.json names, where that is on this machine."""
    if location.is_folder:
        folder = Path(location.name_or_path)
    elif found := find_cached(location.name_or_path, location.revision):
        folder = found.folder
    else:
        return None
    return read_json(folder / CONFIG_FILE).get("model_type") if (folder / CONFIG_FILE).is_file() else None


def find_stand_in(location: Location, *, file: str = CONFIG_FILE) -> Blueprint | None:
    """Return the blueprint of a hub name whose `file` is not on this machine, or None where it is not needed."""
    if location.is_folder or find_cached(location.name_or_path, location.revision, file):
        return None
    return find_blueprint(location.name_or_path, location.revision)


def read_blueprint_config(blueprint: Blueprint) -> PreTrainedConfig:
    """Return a blueprint's configuration as transformers has it."""
    # A copy: transformers keeps the dictionaries that it is given, and writes into them.
    return AutoConfig.for_model(**deepcopy(blueprint.config))
