"""A check: what was looked at, how it came out, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from finesight.errors import CheckFailed
from finesight.numerals import plural
from finesight.runtime import say


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


def say_what_was_checked(checks: Sequence[Check], *, of_stand_ins: bool) -> None:
    """Write to the log how many checks passed, and what the others warn of: once, what several stages have alike.

    What stand-ins are warned of, as that they are few, is only counted.
    """
    warnings = list(dict.fromkeys(check for check in checks if check.status == "warning"))
    for check in () if of_stand_ins else warnings:
        say(f"warning: {check.name}: {check.message}" + (f" (hint: {check.hint})" if check.hint else ""))
    passed = sum(check.status == "pass" for check in checks)
    where = ", in checks.json: the stand-ins may be why" if of_stand_ins and warnings else ""
    say(f"checked: {passed} passed, {plural(len(warnings), 'warning')}{where}")


def require_passed(checks: Iterable[Check]) -> None:
    """Raise `CheckFailed` naming every failure; of several, each hint stands once, below the first that it is for."""
    failures = [check for check in checks if check.status == "failure"]
    if len(failures) == 1:
        raise CheckFailed(f"{failures[0].name}: {failures[0].message}", hint=failures[0].hint)
    if failures:
        raise CheckFailed("\n".join(_with_hints(failures)))


def _with_hints(failures: Iterable[Check]) -> Iterator[str]:
    given: set[str] = set()
    for check in failures:
        yield f"{check.name}: {check.message}"
        if check.hint and check.hint not in given:
            yield f"  hint: {check.hint}"
            given.add(check.hint)
