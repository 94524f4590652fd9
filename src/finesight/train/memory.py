"""Counting what memory tensors hold, and what they are for, while a computation runs on fake tensors.

Fake tensors have shapes and storages and no content, so a step of any model runs in seconds, without weights or a GPU.
What a storage would take is live from its making until nothing refers to it any more, as in a real run.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, mm_flop, sdpa_backward_flop_count, sdpa_flop_count

Cause = Literal[
    "weights", "adapters", "gradients", "optimizer", "activations", "logits", "image tower", "packing", "answer cache"
]
"""What memory is for. `packing`: the rows themselves, and the mask that keeps branches apart; `answer cache`: keys and
values of all tokens while answers are written."""
CAUSES: tuple[Cause, ...] = get_args(Cause)

_aten = torch.ops.aten
_CPU_ATTENTION = _aten._scaled_dot_product_flash_attention_for_cpu
_CPU_ATTENTION_BACKWARD = _aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Peak:
    """The moment when most memory was held."""

    bytes_by_cause: Mapping[Cause, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Return what was held, for all causes."""
        return sum(self.bytes_by_cause.values())


class MemoryMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts live storages and floating point operations of everything that is computed inside its `with` block.

    What is made counts for the `cause` of the moment; a tensor whose last dimension is the vocabulary, for the logits.
    Not seen is what an operation needs inside of itself, as a library's workspace.
    """

    def __init__(self, vocabulary: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._vocabulary = vocabulary
        self._cause: Cause = "packing"
        self._live: Counter[Cause] = Counter()
        self._total = 0
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int, Cause]] = {}
        self._peak = Peak()
        self._peak_bytes = 0

    def restart(self) -> None:
        """Forget the peak and the operations so far; what is live stays."""
        self._peak, self._peak_bytes, self.flops = Peak(), 0, 0
        self._note_peak()

    @property
    def peak(self) -> Peak:
        """The moment since the last `restart` when most memory was held."""
        return self._peak

    def live(self, cause: Cause) -> int:
        """Return how many bytes are held for a cause now."""
        return self._live[cause]

    @contextmanager
    def counting_as(self, cause: Cause) -> Iterator[None]:
        """Count what is made inside of the block for `cause`."""
        before, self._cause = self._cause, cause
        try:
            yield
        finally:
            self._cause = before

    def begin(self, cause: Cause) -> Callable[[], None]:
        """Count what is made from now on for `cause`, until what is returned is called: for hooks, which are pairs."""
        before, self._cause = self._cause, cause

        def end() -> None:
            self._cause = before

        return end

    def count(self, tensor: torch.Tensor, cause: Cause) -> None:
        """Count a tensor's storage for `cause`, whether or not it was counted for another before."""
        storage = tensor.untyped_storage()
        known = self._storages.get(storage._cdata)
        if known is None:
            self._add(storage, cause)
            return
        reference, size, other = known
        self._live[other] -= size
        self._live[cause] += size
        self._storages[storage._cdata] = reference, size, cause

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count what it makes and computes."""
        given = kwargs or {}
        made = func(*args, **given)
        self.flops += _flops_of(func._overloadpacket, args, given, made)
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata not in self._storages:
                    self._add(storage, "logits" if leaf.shape[-1:] == (self._vocabulary,) else self._cause)
        return made

    def _add(self, storage: torch.UntypedStorage, cause: Cause) -> None:
        key, size = storage._cdata, storage.nbytes()

        def forget(_: weakref.ref[torch.UntypedStorage]) -> None:
            _, gone, its_cause = self._storages.pop(key)
            self._live[its_cause] -= gone
            self._total -= gone

        self._storages[key] = weakref.ref(storage, forget), size, cause
        self._live[cause] += size
        self._total += size
        self._note_peak()

    def _note_peak(self) -> None:
        if self._total > self._peak_bytes:
            self._peak_bytes = self._total
            self._peak = Peak({cause: held for cause, held in self._live.items() if held})


def _flops_of(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> int:
    """Return the floating point operations of matrix products, convolutions and attention; of all else none."""
    if operation is _CPU_ATTENTION:
        return int(sdpa_flop_count(*(each.shape for each in args[:3])))  # type: ignore[no-untyped-call]
    if operation is _CPU_ATTENTION_BACKWARD:
        return int(sdpa_backward_flop_count(*(each.shape for each in args[:4])))  # type: ignore[no-untyped-call]
    if operation is _aten._int_mm:
        return int(mm_flop(*args, out_val=made))
    formula = flop_registry.get(operation)
    return int(formula(*args, **kwargs, out_val=made)) if formula else 0
