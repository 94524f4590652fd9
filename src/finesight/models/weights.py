"""A checkpoint's weights, every tensor in its place or none at all."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel

from finesight.errors import ModelError
from finesight.models.location import Location
from finesight.models.tokenizers import first_line

SHOWN = 3


def load_weights(
    model_class: Any,
    location: Location,
    *,
    may_hold_more: bool = False,
    may_lack: tuple[str, ...] = (),
    **arguments: Any,
) -> Any:
    """Return the model of `model_class` that the checkpoint holds.

    `may_hold_more` allows tensors that this model has no place for, as the text half of a CLIP; `may_lack` gives the
    beginnings of names of tensors that nothing reads. Raises `ModelError` when another tensor is missing or of another
    shape (it would stay random) or left over, or a file cannot be read.
    """
    location.require_weights()
    try:
        model, info = model_class.from_pretrained(
            location.name_or_path,
            revision=location.revision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are listed below, by name
            **arguments,
        )
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{location}: the weights cannot be loaded ({first_line(error)})",
            hint="is the download complete, and of the kind of model that the recipe says?",
        ) from error
    _require_complete(location, info, may_hold_more=may_hold_more, may_lack=may_lack)
    assert isinstance(model, PreTrainedModel)
    return model


def _require_complete(
    location: Location, info: dict[str, Any], *, may_hold_more: bool, may_lack: tuple[str, ...]
) -> None:
    listed = {
        "missing": sorted(name for name in info["missing_keys"] if not name.startswith(may_lack)),
        "misshapen": sorted(name for name, _, _ in info["mismatched_keys"]),
        "left over": [] if may_hold_more else sorted(info["unexpected_keys"]),
    }
    faults = [
        f"{what}: {len(names)} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"
        for what, names in listed.items()
        if names
    ]
    if faults:
        raise ModelError(
            f"{location}: the weights do not fit the configuration; tensors {'; '.join(faults)}",
            hint="a missing tensor would stay random; is the download complete, and of one revision?",
        )
