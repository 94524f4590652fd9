"""What a captioning program writes, a line each: captions that were asked for, and whatever else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from finesight.schema import Prediction

FORM = '{"id": "…", "caption": "…"}'
_SHOWN = 3
_SHOWN_CHARACTERS = 80


@dataclass
class _Fault:
    """One way in which lines are wrong: how many are, and the first of them. A program may write millions."""

    lines: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, shown: str) -> None:
        self.lines += 1
        if len(self.first) < _SHOWN:
            self.first.append(shown)


class CaptionLines:
    """Takes the lines of a program that was asked for some captions, and knows what is missing and what is wrong."""

    def __init__(self, asked: Iterable[str]) -> None:
        self._missing = dict.fromkeys(asked)
        self._answered: set[str] = set()
        self._lines = 0
        self._faults: dict[str, _Fault] = {}

    @property
    def answered(self) -> int:
        """How many captions have come."""
        return len(self._answered)

    @property
    def missing(self) -> int:
        """How many captions have not come."""
        return len(self._missing)

    def take(self, line: bytes) -> Prediction | None:
        """Return the caption that a line holds; None where it holds none that was asked for, which is noted."""
        self._lines += 1
        if not line.strip():
            return None
        read = self._read(line)
        if isinstance(read, Prediction):
            del self._missing[read.id]
            self._answered.add(read.id)
            return read
        self._faults.setdefault(read, _Fault()).add(f"line {self._lines:,}: {_shown(line)}")
        return None

    def faults(self) -> list[str]:
        """Return what is wrong, a sentence for each way, with counts and the first cases; empty when all is well."""
        found = []
        if self._missing:
            total = self.missing + self.answered
            first = ", ".join(list(self._missing)[:_SHOWN])
            more = ", …" if self.missing > _SHOWN else ""
            found.append(f"{self.missing:,} of {total:,} captions are missing ({first}{more})")
        for what, fault in self._faults.items():
            lines = "1 line is" if fault.lines == 1 else f"{fault.lines:,} lines are"
            found.append(f"{lines} {what} ({'; '.join(fault.first)}{'; …' if fault.lines > _SHOWN else ''})")
        return found

    def _read(self, line: bytes) -> Prediction | str:
        """Return the caption that a line holds, or what else it is."""
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return "not JSON"
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("caption"), str):
            return f"not {FORM}"
        if not _is_text(row["caption"]):
            return "a caption with half a character (a surrogate)"
        if row["id"] in self._answered:
            return "a second caption for an id"
        if row["id"] not in self._missing:
            return "a caption for an id that was not asked about"
        return Prediction(row["id"], row["caption"].strip())


def _shown(line: bytes) -> str:
    text = line[: 4 * _SHOWN_CHARACTERS].decode("utf-8", errors="replace").strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _is_text(caption: str) -> bool:
    """Return whether a caption can be written: JSON's escapes can spell halves of characters."""
    try:
        caption.encode()
    except UnicodeEncodeError:
        return False
    return True
