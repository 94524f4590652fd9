"""What each GPU of several holds, engine by engine: from one GPU's causes, by the rules that the engines document.

Nothing here is run: DDP keeps everything on every GPU and gradients once more, in the buckets that it sends; FSDP and
ZeRO-3 keep a share of weights, gradients and states, and gather layers as they are computed; ZeRO-2 keeps all weights.
While a checkpoint is validated the model is whole on every GPU, beside what the engine holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from finesight.plan.simulate import Simulated
from finesight.runtime import Engine

_BUCKET = 500_000_000
"""Elements that DeepSpeed gathers before it sends them (`reduce_bucket_size`)."""
_MOST_LIVE = 1_000_000_000
"""Parameters that ZeRO-3 may keep gathered (`stage3_max_live_parameters`): a smaller model may lie whole on every GPU
while it is computed, beside its share, which is what makes ZeRO-3 more than ZeRO-2 here. FSDP frees layer by layer."""
_MASTER_BYTES = 4
"""ZeRO steps float32 copies of what learns."""
SPREADING: Mapping[Engine, str] = {
    "zero2": "as much is sent between GPUs as by ddp",
    "fsdp": "half as much again is sent between GPUs",
    "zero3": "half as much again is sent between GPUs",
    "zero2-offload": "the optimizer steps in main memory, slowly",
}
"""The engines that hold less than DDP and what each costs, the quickest first: what is sent is by Rajbhandari et al.
2020, section 7 (ZeRO: Memory Optimizations Toward Training Trillion Parameter Models)."""


def bytes_by_engine(one: Simulated, gpus: int) -> dict[Engine, int]:
    """Return the peak of each of `gpus` GPUs under every engine."""
    return {engine: max(_training(one, gpus, engine), _answering(one, gpus, engine)) for engine in get_args(Engine)}


def _training(one: Simulated, gpus: int, engine: Engine) -> int:
    kept = one.training.bytes
    master = one.learning * _MASTER_BYTES
    bucket = min(one.gradients, _BUCKET * _MASTER_BYTES)
    saved = 1 - 1 / gpus
    match engine:
        case "ddp":
            return kept + one.gradients
        case "zero2":
            return int(kept - saved * (one.optimizer + one.gradients) + master / gpus + bucket)
        case "zero2-offload":
            return int(kept - one.optimizer - one.gradients + bucket)
        case "fsdp":
            largest = max(one.layers, default=0)
            gathered = one.weights - sum(one.layers) + 2 * largest
            return int(kept - saved * (one.weights + one.optimizer + one.gradients) + min(gathered, one.weights))
        case "zero3":
            gathered = min(one.weights, int(_MOST_LIVE * one.bytes_a_weight))
            return int(kept - saved * (one.weights + one.optimizer + one.gradients) + master / gpus + gathered + bucket)


def _answering(one: Simulated, gpus: int, engine: Engine) -> int:
    """Return the peak of an evaluation between two steps."""
    master = one.learning * _MASTER_BYTES
    kept = one.answering.bytes - one.optimizer
    match engine:
        case "ddp":
            return one.answering.bytes
        case "zero2":
            return int(kept + one.weights + (one.optimizer + master) / gpus)
        case "zero2-offload":
            return kept + one.weights
        case "fsdp":
            return int(kept + (one.weights + one.optimizer) / gpus)
        case "zero3":
            return int(kept + (one.weights + one.optimizer + master) / gpus)
