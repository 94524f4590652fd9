"""What every piece of a recipe has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FieldFault(ValueError):
    """What a validator of several fields finds wrong with one of them; `where` leads to it from the validator's own
    piece.
    """

    def __init__(self, where: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.where = where


class Spec(BaseModel):
    """A piece of a recipe: frozen, no unknown fields, and each field's docstring is its help."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True, protected_namespaces=()
    )
