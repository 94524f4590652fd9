"""A predictions file that a person brings: JSON Lines, each fault with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finesight.errors import DataError
from finesight.rundir import record_from_json
from finesight.schema import Record

_FORM = 'a line is {"id": "17", "prediction": "yes", "references": ["yes", "yeah"]}'
_SHOWN = 5


def read_predictions(path: Path) -> list[Record]:
    """Return the records of a predictions file.

    Raises `DataError` that counts the lines that cannot be read and names the first few.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start + 1} does not belong)") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="give a .jsonl file, or a run folder"
        ) from None
    records: list[Record] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(json.loads(line)))
        except json.JSONDecodeError as error:
            faults.append(f"{path}:{number}: not JSON: {error.msg}")
        except _Unfit as unfit:
            faults.append(f"{path}:{number}: {unfit}")
    if faults:
        more = [f"and {len(faults) - _SHOWN:,} more lines"] if len(faults) > _SHOWN else []
        raise DataError("\n".join(faults[:_SHOWN] + more), hint=_FORM)
    if not records:
        raise DataError(f"{path}: holds no predictions", hint=_FORM)
    return records


class _Unfit(Exception):
    """A line that is JSON, and no record."""


def _record(row: Any) -> Record:
    if not isinstance(row, dict):
        raise _Unfit("not a mapping")
    missing = [name for name in ("id", "prediction", "references") if name not in row]
    if missing:
        raise _Unfit(f"without {' and '.join(missing)}")
    references = row["references"]
    if not isinstance(references, list) or not references or not all(isinstance(item, str) for item in references):
        raise _Unfit("references must be a list of texts, at least one")
    if not isinstance(row["prediction"], str):
        raise _Unfit("prediction must be text")
    if not isinstance(row.get("choices", []), list) or not isinstance(row.get("tags", {}), dict):
        raise _Unfit("choices must be a list, and tags a mapping")
    letters = row.get("letters", [])
    if not isinstance(letters, list) or (letters and len(letters) != len(row.get("choices", []))):
        raise _Unfit("letters must be a list, one for each of the choices")
    for name in ("reference_log_likelihood", "reference_tokens"):
        if not isinstance(row.get(name), int | float | None):
            raise _Unfit(f"{name} must be a number")
    return record_from_json(row)
