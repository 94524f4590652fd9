"""A checkpoint's weights, every tensor in its place or none at all."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel

from finesight.errors import ModelError
from finesight.models.checkpoint_files import require_no_adapter
from finesight.models.location import Location
from finesight.models.pickles import refused_pickle
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
    require_no_adapter(location)
    try:
        model, info = model_class.from_pretrained(
            location.name_or_path,
            revision=location.revision,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are listed below, by name
            **arguments,
        )
    except UnpicklingError as error:
        raise refused_pickle(str(location), error) from error
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{location}: the weights cannot be loaded ({first_line(error)})",
            hint="is the download complete, and of the kind of model that the recipe says?",
        ) from error
    _require_complete(location, info, may_hold_more=may_hold_more, may_lack=may_lack)
    assert isinstance(model, PreTrainedModel)
    _require_one_head(location, model)
    return model


def _require_one_head(location: Location, model: PreTrainedModel) -> None:
    """Raise `ModelError` when a head is tied by the configuration, and another tensor than the embedding in the file.

    transformers loads both then, and forgets one of them the next time that the model is made of its configuration.
    """
    head = model.get_output_embeddings()
    text = vars(model.config.get_text_config(decoder=True))  # Qwen2-VL's says nothing of it, but the whole does
    if head is None or not text.get("tie_word_embeddings", model.config.tie_word_embeddings):
        return
    if head.weight is not model.get_input_embeddings().weight:
        raise ModelError(
            f"{location}: config.json says that the head is the embedding (tie_word_embeddings), but the weights hold "
            "another lm_head.weight",
            hint="if the head was tuned by itself, set tie_word_embeddings: false in config.json",
        )


def list_faults(info: dict[str, Any], *, may_hold_more: bool = False, may_lack: tuple[str, ...] = ()) -> list[str]:
    """Return what transformers' `output_loading_info` says of tensors that are not in their place, kind by kind."""
    listed = {
        "missing": sorted(name for name in info["missing_keys"] if not name.startswith(may_lack)),
        "misshapen": sorted(name for name, _, _ in info["mismatched_keys"]),
        "left over": [] if may_hold_more else sorted(info["unexpected_keys"]),
    }
    return [
        f"{what}: {len(names)} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"
        for what, names in listed.items()
        if names
    ]


def _require_complete(
    location: Location, info: dict[str, Any], *, may_hold_more: bool, may_lack: tuple[str, ...]
) -> None:
    if faults := list_faults(info, may_hold_more=may_hold_more, may_lack=may_lack):
        raise ModelError(
            f"{location}: the weights do not fit the configuration; tensors {'; '.join(faults)}",
            hint="a missing tensor would stay random; is the download complete, and of one revision?",
        )
