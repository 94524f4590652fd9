"""The one door through which a checkpoint's configuration comes: its folder, the hub's cache, a blueprint, the hub."""

from __future__ import annotations

from copy import deepcopy

from transformers import AutoConfig, PreTrainedConfig

from finesight.models.at_hand import CONFIG_FILE, find_cached
from finesight.models.blueprint import Blueprint, find_blueprint
from finesight.models.checkpoint_files import no_model_there
from finesight.models.location import Location


def open_config(location: Location, *, hint: str, may_stand_in: bool) -> PreTrainedConfig:
    """Return a checkpoint's configuration.

    With `may_stand_in`, a checkpoint that is not on this machine is described by its blueprint, where there is one, and
    the network is not asked; what loads weights must not have that. Raises `ModelError`, with `hint`, where there is
    no configuration.
    """
    if may_stand_in and (blueprint := find_stand_in(location)):
        return read_blueprint_config(blueprint)
    try:
        return AutoConfig.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise no_model_there(location, error, hint=hint) from error


def find_stand_in(location: Location, *, file: str = CONFIG_FILE) -> Blueprint | None:
    """Return the blueprint of a hub name whose `file` is not on this machine, or None where it is not needed."""
    if location.is_folder or find_cached(location.name_or_path, location.revision, file):
        return None
    return find_blueprint(location.name_or_path, location.revision)


def read_blueprint_config(blueprint: Blueprint) -> PreTrainedConfig:
    """Return a blueprint's configuration as transformers has it."""
    # A copy: transformers keeps the dictionaries that it is given, and writes into them.
    return AutoConfig.for_model(**deepcopy(blueprint.config))
