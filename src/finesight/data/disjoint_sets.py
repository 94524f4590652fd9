"""Names that are joined into sets, each known by its alphabetically first name (Tarjan's union-find)."""

from __future__ import annotations

from collections.abc import Iterator


class DisjointSets:
    """Every name is a set by itself until it is joined with another."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def first(self, name: str) -> str:
        """Return the alphabetically first of the names that `name` is joined with, itself among them."""
        *path, root = self._climb(name)
        for passed in path:
            self._parents[passed] = root
        return root

    def join(self, one: str, other: str) -> None:
        """Make one set of the two that hold these names."""
        low, high = sorted((self.first(one), self.first(other)))
        if low != high:
            self._parents[high] = low

    def _climb(self, name: str) -> Iterator[str]:
        yield name
        while (parent := self._parents.get(name, name)) != name:
            name = parent
            yield name
