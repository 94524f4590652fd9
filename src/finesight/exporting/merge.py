"""What a run has learned, merged into weights that need nothing beside them."""

from __future__ import annotations

import torch

from finesight.models.loaded import Loaded
from finesight.models.parts import is_quantized
from finesight.models.quantize import unpack
from finesight.opening import load_best
from finesight.rundir import RunDir
from finesight.tune.prepare import merge_adapters
from finesight.tune.weights import take_off_adapters


def is_rounded(loaded: Loaded, dtype: torch.dtype) -> bool:
    """Return whether merging or writing rounds: then the exported model is the tuned one but for that."""
    formats = {parameter.dtype for parameter in loaded.model.parameters()}
    return formats | {dtype} != {torch.float32}


def merge_for_good(loaded: Loaded, run: RunDir) -> None:
    """Merge the tuned model of a run into plain weights, in place.

    4-bit weights are unpacked to float32 first: merged into them, most of what adapters learned would be rounded away.
    """
    if any(is_quantized(parameter) for parameter in loaded.model.parameters()):
        take_off_adapters(loaded)
        unpack(loaded.model)
        load_best(loaded, run)
    merge_adapters(loaded)
