"""Answers of several to the same questions, in one order; what does not belong together is refused with counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from finesight.data.disjoint_sets import DisjointSets
from finesight.errors import UserError
from finesight.evaluate.score import Scored, name_ids
from finesight.schema import Record


def align(first: Scored, second: Scored, first_name: str, second_name: str, hint: str = "") -> Scored:
    """Return `second` in the order of `first`.

    Raises `UserError`, with `hint`, when they are not about the same examples; and when the same id has other right
    answers or options, or two models gave the values that a metric reads.
    """
    _require_one_instrument(first, second, first_name, second_name)
    places = {record.id: place for place, record in enumerate(second.records)}
    _require_same_ids(first, places, first_name, second_name, hint)
    ordered = second.where([places[record.id] for record in first.records])
    for what, differ in _ARE_DIFFERENT_QUESTIONS.items():
        pairs = zip(first.records, ordered.records, strict=True)
        if different := [one.id for one, other in pairs if differ(one, other)]:
            raise UserError(
                f"{first_name} and {second_name}: {name_ids(different)} with different {what}",
                hint="the same id names different questions; nothing can be compared",
            )
    return ordered


def share_groups(scored: Mapping[str, Scored]) -> dict[str, Scored]:
    """Return aligned answers with one group for each example, whoever told it.

    Two examples are in one group when they are for anybody: errors may become larger by that, and never smaller than
    they are. So it does not matter who is named first, nor that one file tells no groups where another does.
    """
    groups = DisjointSets()
    rows = list(zip(*(own.records for own in scored.values()), strict=True))
    named = [list(filter(None, (record.group for record in row))) for row in rows]
    for first, *others in filter(None, named):
        for other in others:
            groups.join(first, other)
    shared = [groups.first(names[0]) if names else "" for names in named]
    return {name: _regrouped(own, shared) for name, own in scored.items()}


def _regrouped(scored: Scored, groups: list[str]) -> Scored:
    records = tuple(
        record if record.group == group else replace(record, group=group)
        for record, group in zip(scored.records, groups, strict=True)
    )
    return replace(scored, records=records)


def _require_same_ids(
    first: Scored, places: Mapping[str, int], first_name: str, second_name: str, hint: str
) -> None:  # fmt: skip
    first_ids = dict.fromkeys(record.id for record in first.records)
    lacking = {
        first_name: [record_id for record_id in first_ids if record_id not in places],
        second_name: [record_id for record_id in places if record_id not in first_ids],
    }
    found = [f"only in {name}: {name_ids(ids)}" for name, ids in lacking.items() if ids]
    if found:
        raise UserError(f"{first_name} and {second_name} are about different examples; {'; '.join(found)}", hint=hint)


def _require_one_instrument(first: Scored, second: Scored, first_name: str, second_name: str) -> None:
    instrument = first.metric.instrument
    one, other = instrument(first.records[0]), instrument(second.records[0])
    if one is not None and other is not None and one != other:
        raise UserError(
            f"{first.metric.name}: {first_name} by {one.name} ({one.weights}), {second_name} by {other.name} "
            f"({other.weights})",
            hint="values of two models cannot be compared; score both with one",
        )


def _have_other_references(one: Record, other: Record) -> bool:
    return sorted(one.references) != sorted(other.references)


def _have_other_options(one: Record, other: Record) -> bool:
    """Return whether both tell their options, and not the same in the same order: a letter means another of them."""
    return bool(one.choices and other.choices) and one.choices != other.choices


_ARE_DIFFERENT_QUESTIONS: Mapping[str, Callable[[Record, Record], bool]] = {
    "references": _have_other_references,
    "options": _have_other_options,
}
