"""The fault that cost one of the reports its training on two GPUs."""

from __future__ import annotations

import pytest
import torch

from finesight.branches import mask
from finesight.branches.layout import PADDING


def naive_mask(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask of the two-GPU failure: float32's smallest number, and padded queries that see nothing, cast."""
    hidden = torch.zeros(seen.shape, dtype=torch.float32)
    return hidden.masked_fill_(~seen, torch.finfo(torch.float32).min)[:, None].to(dtype)


@pytest.fixture
def two_gpu_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks as they were in the report whose loss was always 0.0."""
    real = mask.who_is_seen

    def without_padding(query_branches: torch.Tensor, key_branches: torch.Tensor) -> torch.Tensor:
        return real(query_branches, key_branches) & (query_branches != PADDING)[:, :, None]

    monkeypatch.setattr(mask, "who_is_seen", without_padding)
    monkeypatch.setattr(mask, "additive", naive_mask)
