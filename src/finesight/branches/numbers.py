"""What a model gives in place of answers when its weights or its number format are broken."""

from __future__ import annotations

import torch

from finesight.errors import ModelError


def require_numbers(computed: torch.Tensor, what: str) -> None:
    """Raise `ModelError` where the model computed NaN: a token would be chosen all the same, and scored."""
    if computed.isnan().any():
        raise ModelError(
            f"the model computes NaN in place of {what}",
            hint="set model.dtype: float32 (float16 overflows in many models); if that is the same, its weights are "
            "broken",
        )
