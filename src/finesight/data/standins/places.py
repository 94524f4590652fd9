"""Where a recipe's paths lie below another data root, so that nothing outside of it is touched."""

from __future__ import annotations

import os.path
from pathlib import Path, PurePath

OUTSIDE = "outside"
"""The folder that takes what a recipe names outside of its data root."""


class Places:
    """Gives each path of a recipe its place below a new data root: its own, wherever that is possible.

    Two spellings of one path get one place, so that what the recipe reads twice stays one file.
    """

    def __init__(self, data_root: Path) -> None:
        self._root = Path(os.path.normpath(data_root.absolute()))
        self._known: dict[Path, str] = {}

    def of(self, path: str) -> str:
        """Return the place of `path`, relative to the new data root. A hub's name, `owner/name`, stays what it is."""
        real = self._root / Path(path).expanduser()
        return self._known.setdefault(real.resolve(), self._inside(real))

    def _inside(self, path: Path) -> str:
        plain = Path(os.path.normpath(path))
        if plain.is_relative_to(self._root):
            return plain.relative_to(self._root).as_posix()
        return PurePath(OUTSIDE, *plain.parts[1:]).as_posix()
