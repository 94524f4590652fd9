"""What guards saw while the model was trained, as the page tells it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from finesight.numerals import count
from finesight.report.files import Content, RunFiles

_WORDS = {"note": "noted", "skip": "the step was left out", "stop": "the training was stopped"}
_STEPS_NAMED = 5


@dataclass(frozen=True)
class IncidentRow:
    """One kind of thing that went wrong in a stage."""

    is_grave: bool
    title: str
    message: str
    causes: tuple[str, ...]
    batches: tuple[str, ...]
    """Where the batches are kept, in the run folder."""


def incident_rows(files: RunFiles) -> tuple[IncidentRow, ...]:
    """Return what went wrong, what stopped a training first; what happened often is told once."""
    kinds = sorted(files.incidents, key=_kind)
    rows = [_row(list(alike)) for _, alike in groupby(kinds, key=_kind)]
    return tuple(sorted(rows, key=lambda row: not row.is_grave))


def _kind(incident: Content) -> tuple[str, str, str]:
    return incident["stage"], incident["what"], incident["action"]


def _row(alike: list[Content]) -> IncidentRow:
    first = alike[0]
    steps = [count(incident["step"]) for incident in alike]
    more = f" and {count(len(steps) - _STEPS_NAMED)} more" if len(steps) > _STEPS_NAMED else ""
    where = f"step{'s' if len(steps) > 1 else ''} {', '.join(steps[:_STEPS_NAMED])}{more}"
    return IncidentRow(
        is_grave=first["action"] != "note",
        title=f"{first['stage']}, {where}: {first['what']}, {_WORDS[first['action']]}",
        message=first["message"],
        causes=tuple(first["causes"]),
        batches=tuple(f"{incident['batch']}/batch.json" for incident in alike if "batch" in incident),
    )
