"""The check that a source's uses share nothing: what is replayed is not what forgetting is measured on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from finesight.data.groups import ties_of
from finesight.schema import OWN_SETS, Example, Sets
from finesight.train.checks.check import Check


def check_uses(sets: Sets) -> Check:
    """Count the groups of every use of a source that has several, and those that two of its uses share."""
    counted, shared = [], []
    for source, examples_of in _uses_by_source(sets).items():
        if len(examples_of) == 1:
            continue
        groups = {use: len({example.group for example in examples}) for use, examples in examples_of.items()}
        counted.append(f"{source} ({', '.join(f'{count:,} {use}' for use, count in groups.items())})")
        for (use, examples), (other, others) in itertools.combinations(examples_of.items(), 2):
            if both := _ties(examples) & _ties(others):
                shared.append(f"{source}: {len(both):,} of {use} are also in {other}")
    if shared:
        return Check(
            "uses",
            "failure",
            f"groups stand in two uses of one source: {'; '.join(shared)}",
            hint="a source is divided by whole groups, so this is a fault of finesight: please report it",
        )
    if not counted:
        return Check("uses", "pass", "no source is used twice")
    return Check("uses", "pass", f"no group stands in two uses of one source; groups: {'; '.join(counted)}")


def _uses_by_source(sets: Sets) -> dict[str, dict[str, list[Example]]]:
    uses: dict[str, dict[str, list[Example]]] = {}
    for use, examples in _uses(sets):
        for example in examples:
            # What an id begins with is the source's own, whatever its uses are called.
            source = example.id.partition(":")[0]
            uses.setdefault(source, {}).setdefault(use, []).append(example)
    return uses


def _uses(sets: Sets) -> Iterator[tuple[str, Iterable[Example]]]:
    for role in ("train", "replay"):
        yield role, [example for example in sets.train if example.role == role]
    yield "validation", sets.validation
    yield "test", sets.test
    for task in sets.tasks:
        if task.drawn_from not in OWN_SETS:
            yield f"{task.name}, {task.role}", task.examples


def _ties(examples: Iterable[Example]) -> set[str]:
    return set().union(*map(ties_of, examples))
