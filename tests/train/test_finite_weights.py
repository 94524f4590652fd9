"""A checkpoint whose weights are no numbers is refused before anything is computed with them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from finesight.models.loaded import Loaded
from finesight.train.checks.model import check_finite


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_no_number_is_named(
    number: float, dtype: torch.dtype, make_model: Callable[..., Loaded]
) -> None:
    loaded = make_model()
    loaded.model.to(dtype)
    assert check_finite(loaded).status == "pass"
    with torch.no_grad():
        loaded.model.model.multi_modal_projector.linear_1.bias[0] = number
    found = check_finite(loaded)
    assert found.status == "failure"
    assert "(first: model.multi_modal_projector.linear_1.bias)" in found.message
