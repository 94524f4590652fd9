"""Single files of a checkpoint, in its folder or on the hub, and what some of them mean."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.utils import cached_file

from finesight.errors import ModelError
from finesight.models.location import Location
from finesight.models.tokenizers import first_line

ADAPTER_CONFIG = "adapter_config.json"


def find_file(location: Location, name: str) -> Path | None:
    """Return a checkpoint's file of that name, downloaded where it lies on the hub; None where there is none."""
    found = cached_file(
        location.name_or_path,
        name,
        revision=location.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return Path(found) if found else None


def require_no_adapter(location: Location) -> None:
    """Raise `ModelError` when an adapter lies beside weights: transformers would add it to them without a word.

    Where they were saved after merging, it would then count twice.
    """
    if find_file(location, ADAPTER_CONFIG):
        raise ModelError(
            f"{location}: holds a LoRA adapter ({ADAPTER_CONFIG}) beside weights, and does not say whether it is "
            "merged into them",
            hint="if it is, take adapter_config.json away; else merge it (peft: merge_and_unload) and save the whole",
        )


def no_model_there(location: Location, error: Exception, *, hint: str) -> ModelError:
    """Return what a person reads when a checkpoint has no configuration."""
    if location.is_folder and (adapter := find_file(location, ADAPTER_CONFIG)):
        base = json.loads(adapter.read_text("utf-8")).get("base_model_name_or_path")
        return ModelError(
            f"{location}: a LoRA adapter alone, without the model that it was tuned on ({base})",
            hint="merge the two (peft: merge_and_unload) and name the folder of the whole; the adapters of a finesight "
            "run go on by model.continue_from",
        )
    return ModelError(f"{location}: no model can be found there ({first_line(error)})", hint=hint)
