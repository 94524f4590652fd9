"""Which `model.kind` loads a model, by the type that its configuration names."""

from __future__ import annotations

from finesight.models.hf.families import FAMILIES
from finesight.recipe.model import SUPPORTED_LANGUAGE_TYPES

MOONDREAM_TYPE = "moondream1"
"""What moondream2 calls itself in every revision's config.json."""
_KINDS = {
    MOONDREAM_TYPE: "moondream",
    "llava": "llava",
    **dict.fromkeys(FAMILIES, "hf"),
    **dict.fromkeys(SUPPORTED_LANGUAGE_TYPES, "text"),
}


def find_kind(model_type: str | None) -> str | None:
    """Return the `model.kind` that loads a whole model of this type, or None where none is known."""
    return None if model_type is None else _KINDS.get(model_type)


def name_kind(model_type: str | None) -> str:
    """Return a hint at the `model.kind` that loads a model of this type, or an empty text where none is known."""
    kind = find_kind(model_type)
    if kind is None:
        return ""
    return f"model.kind: {kind} loads it" + (", a language model by itself, which sees no images" * (kind == "text"))
