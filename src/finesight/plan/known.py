"""What a model looks at to decide what it computes, kept beside fake tensors: grids, masks, whether a tile is empty.

Fake tensors have no content, and some models ask for it: Qwen2-VL for the grid of a picture, SmolVLM for the tiles that
are not all zero. Numbers that come with the rows are known, and so is what is computed of nothing but them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdKeyDictionary

_MOST_NUMBERS = 2**20
"""What is larger, and than all that it was made of, is not followed: masks of attention, which nothing asks for."""
_aten = torch.ops.aten
_UNFILLED = (_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided)


class KnownNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers what is asked of fake tensors whose numbers follow from real ones. It is entered behind the fake mode."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._numbers: Any = WeakIdKeyDictionary()
        """Real tensors, by the fake ones that they are the content of."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation on fake tensors, and on their numbers where all of these are known."""
        given = kwargs or {}
        sources = [leaf for leaf in tree_leaves((args, given)) if isinstance(leaf, torch.Tensor)]
        is_known = all(map(self._knows, sources)) and _is_determined(func)
        if is_known and torch.Tag.data_dependent_output in func.tags:
            return self._real(func, args, given)
        if is_known and torch.Tag.dynamic_output_shape in func.tags:
            made = tree_map(_unfilled, self._real(func, args, given))
        elif func is _aten.index.Tensor:
            made = func(args[0], self._places(args[1]))
        else:
            made = func(*args, **given)
        if is_known:
            self._follow(made, sources, func, args, given)
        elif func._schema.is_mutable:
            self._forget(sources)
        return made

    def _knows(self, tensor: torch.Tensor) -> bool:
        return not isinstance(tensor, FakeTensor) or tensor in self._numbers

    def _number(self, leaf: Any) -> Any:
        return self._numbers[leaf] if isinstance(leaf, FakeTensor) else leaf

    def _real(self, func: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        with _disable_current_modes(), torch.no_grad():
            return func(*tree_map(self._number, args), **tree_map(self._number, given))

    def _follow(
        self,
        made: Any,
        sources: Iterable[torch.Tensor],
        func: Any,
        args: tuple[Any, ...],
        given: Mapping[str, Any],
    ) -> None:
        """Note the numbers of what was made."""
        results = [leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        most = max([_MOST_NUMBERS, *(each.numel() for each in sources)])
        if not func.is_view and any(each.numel() > most for each in results):
            return
        real = [leaf for leaf in tree_leaves(self._real(func, args, given)) if isinstance(leaf, torch.Tensor)]
        for fake, numbers in zip(results, real, strict=True):
            if isinstance(fake, FakeTensor):
                self._numbers[fake] = numbers

    def _places(self, indices: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
        """Return indices with every mask that is known as so many places: how many, only its content tells."""
        places: list[torch.Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype == torch.bool and self._knows(index):
                places += [torch.zeros(self._real(_count, (index,), {}), dtype=torch.long)] * index.ndim
            else:
                places.append(index)
        return places

    def _forget(self, changed: Iterable[torch.Tensor]) -> None:
        """Forget what was written over with something unknown, and all that shares its storage."""
        storages = {each.untyped_storage()._cdata for each in changed if each in self._numbers}
        for known in list(self._numbers):
            if known.untyped_storage()._cdata in storages:
                del self._numbers[known]


def _is_determined(func: Any) -> bool:
    """Return whether what an operation gives follows from what it is given."""
    return func._overloadpacket not in _UNFILLED and torch.Tag.nondeterministic_seeded not in func.tags


def _unfilled(real: torch.Tensor) -> torch.Tensor:
    return torch.empty(real.shape, dtype=real.dtype)


def _count(mask: torch.Tensor) -> int:
    return int(mask.sum())
