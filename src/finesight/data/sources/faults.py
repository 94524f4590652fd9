"""Everything that is wrong with a file, collected so that a person reads it once."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

from finesight.errors import DataError

_NAMED_ROWS = 5


class Faults:
    """The faults of one file, by kind, with the rows that have them."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._rows: dict[str, list[str]] = {}
        self._hints: dict[str, None] = {}

    def add(self, kind: str, row: str = "", *, hint: str = "") -> None:
        """Note a fault. `kind` reads on after the file's name, as "no answer"; `row` says where."""
        self._rows.setdefault(kind, []).append(row)
        if hint:
            self._hints[hint] = None

    def raise_if_any(self) -> None:
        """Raise one `DataError` that counts the faults of each kind and names their first rows."""
        if not self._rows:
            return
        lines = [_line(kind, [row for row in rows if row]) for kind, rows in self._rows.items()]
        message = f"{self._file}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{self._file}:", *lines])
        raise DataError(message, hint="; ".join(self._hints))

    def __bool__(self) -> bool:
        return bool(self._rows)


def did_you_mean(wanted: str, there: Collection[str]) -> str:
    """Return "did you mean `x`?" for the nearest of the names that are there, or nothing."""
    lowered = {name.casefold(): name for name in there}
    near = difflib.get_close_matches(wanted.casefold(), lowered, n=1, cutoff=0.6)
    holding = [name for low, name in lowered.items() if wanted.casefold() in low]
    found = [lowered[name] for name in near] or sorted(holding, key=len)
    return f"did you mean `{found[0]}`?" if found else ""


def missing_file(what: str, path: Path, data_root: Path) -> DataError:
    """Return the error for a file or folder that is not there, saying where it was looked for."""
    near = did_you_mean(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else ""
    hint = f"paths start from the data root, {data_root.absolute()}; give another with --data-root"
    return DataError(f"{path}: {what} not found", hint=f"{near} {hint}".strip())


def _line(kind: str, rows: list[str]) -> str:
    if not rows:
        return kind
    named = ", ".join(rows[:_NAMED_ROWS])
    more = f" and {len(rows) - _NAMED_ROWS:,} more" if len(rows) > _NAMED_ROWS else ""
    return f"{kind}: {len(rows):,} {'row' if len(rows) == 1 else 'rows'} ({named}{more})"
