"""A check: what was looked at, how it came out, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from finesight.errors import CheckFailed


@dataclass(frozen=True)
class Check:
    """One thing that was looked at before the run."""

    name: str
    status: Literal["pass", "warning", "failure"]
    message: str
    hint: str = ""


def describe_checks(checks: Iterable[Check]) -> dict[str, Any]:
    """Return a stage's entry of checks.json."""
    return {"checks": [asdict(check) for check in checks]}


def require_passed(checks: Iterable[Check]) -> None:
    """Raise `CheckFailed` naming every failure."""
    failures = [check for check in checks if check.status == "failure"]
    if failures:
        raise CheckFailed(
            "\n".join(f"{check.name}: {check.message}" for check in failures),
            hint="; ".join(dict.fromkeys(check.hint for check in failures if check.hint)),
        )
