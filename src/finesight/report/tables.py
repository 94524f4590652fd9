"""The page's tables of what was learned, from what, where, and what was checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finesight import numerals
from finesight.report.files import Content, RunFiles
from finesight.report.leaks import LeakRow, leak_row
from finesight.report.words import shorten


@dataclass(frozen=True)
class PartRow:
    """One part of the model: how it is tuned, and how many of its parameters learn."""

    part: str
    tuning: str
    learning_rate: str
    total: str
    trainable: str
    adapters: str
    unreachable: str


@dataclass(frozen=True)
class StageParameters:
    """What learns in a stage."""

    stage: str
    summary: str
    rows: tuple[PartRow, ...]
    remarks: tuple[str, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True)
class SetRow:
    """One set of examples."""

    name: str
    examples: str
    contexts: str
    groups: str
    made_of: str
    top_answers: str


@dataclass(frozen=True)
class DataView:
    """What was read, what was left out, what overlaps."""

    sets: tuple[SetRow, ...]
    leaks: tuple[LeakRow, ...]
    dropped: tuple[str, ...]
    allow_leakage: bool
    is_within_threshold: bool
    """Whether the recipe bears with all leaks that there are."""


@dataclass(frozen=True)
class CheckRow:
    """One check with its result."""

    name: str
    status: str
    message: str
    hint: str


def parameter_stages(parameters: Content) -> tuple[StageParameters, ...]:
    """Return what parameters.json says of each stage."""
    return tuple(
        StageParameters(
            stage=stage["stage"],
            summary=learning_summary(stage),
            rows=tuple(_part_row(part) for part in stage["parts"]),
            remarks=tuple(_remarks(stage["parts"])),
            refusals=tuple(stage.get("refusals", ())),
        )
        for stage in parameters.get("stages", [])
    )


def learning_summary(stage: Content) -> str:
    """Return how much of the model is trained in a stage, in a sentence; to the unit, to be held against a paper's."""
    trainable, total = stage["trainable"], stage["total"]
    share = f"{100 * trainable / total:.4g} %" if total else numerals.NOT_MEASURED
    learning = stage.get("learning", trainable)
    reached = "" if learning == trainable else f" A gradient reaches {numerals.count(learning)} of them."
    return f"{numerals.count(trainable)} of {numerals.count(total)} parameters are trainable ({share}).{reached}"


def data_view(data: Content, folder: Path) -> DataView | None:
    """Return what data.json says, with thumbnails of the run folder, or None where there is none yet."""
    if not data:
        return None
    return DataView(
        sets=tuple(_set_row(name, content) for name, content in data["sets"].items() if content),
        leaks=tuple(leak_row(leak, folder) for leak in data.get("leaks", [])),
        dropped=tuple(_dropped(dropped) for dropped in data.get("dropped", [])),
        allow_leakage=bool(data.get("allow_leakage")),
        is_within_threshold=all(leak.get("within_threshold", False) for leak in data.get("leaks", [])),
    )


def check_rows(checks: Content) -> tuple[CheckRow, ...]:
    """Return every check of checks.json, failures first, then warnings; what several stages found alike only once."""
    severity = ("failure", "warning", "pass")
    rows = dict.fromkeys(
        CheckRow(check["name"], check["status"], check["message"], check.get("hint", ""))
        for stage in checks.get("stages", [])
        for check in stage["checks"]
    )
    return tuple(sorted(rows, key=lambda row: severity.index(row.status)))


def environment_rows(files: RunFiles) -> tuple[tuple[str, str], ...]:
    """Return environment.json as names and values, nested names joined by a blank; the recipe stands elsewhere."""
    told = {name: value for name, value in files.environment.items() if name not in ("recipe", "recipe_changes")}
    return tuple(_flatten("", told))


def _part_row(part: Content) -> PartRow:
    rate = part.get("learning_rate")
    return PartRow(
        part=part["part"],
        tuning=part["tuning"],
        learning_rate=numerals.NOT_MEASURED if rate is None else f"{rate:g}",
        total=numerals.count(part["total"]),
        trainable=numerals.count(part["trainable"]),
        adapters=numerals.count(part["adapters"]),
        unreachable=numerals.count(part["unreachable"]),
    )


def _remarks(parts: list[Content]) -> Iterator[str]:
    for part in parts:
        idle = part["trainable"] - part.get("learning", part["trainable"])
        if idle:
            parameters = numerals.plural(idle, "trainable parameter")
            yield f"{part['part']}: no gradient reaches {parameters}; they stay as they are."
        tensors = part.get("unreachable_tensors", [])
        if part["unreachable"]:
            first = f", the first {tensors[0]}" if tensors else ""
            yield (
                f"{part['part']}: no gradient can reach {numerals.count(part['unreachable'])} parameters "
                f"({numerals.plural(len(tensors), 'tensor')}{first})."
            )


def _set_row(name: str, content: Content) -> SetRow:
    sources = _counted(content.get("by_source", {}))
    roles, types = content.get("by_role", {}), content.get("answer_types", {})
    made_of = [sources, *(_counted(counts) for counts in (roles, types) if len(counts) > 1)]
    top = (
        f"{shorten(str(answer), 24)} {numerals.percent(number / content['examples'])}"
        for answer, number in content.get("top_answers", [])[:3]
    )
    return SetRow(
        name=name.removeprefix("task:"),
        examples=numerals.count(content["examples"]),
        contexts=numerals.count(content["contexts"]),
        groups=numerals.count(content["groups"]),
        made_of="; ".join(made_of),
        top_answers=", ".join(top),
    )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {numerals.count(number)}" for name, number in counts.items())


def _dropped(dropped: Content) -> str:
    first = ", ".join(dropped.get("first", [])[:5])
    return (
        f"{numerals.plural(dropped['examples'], 'example')} of {dropped['source']}: {dropped['reason']}"
        + (f" (the first: {first})" if first else "")
        + "."
    )


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def _flatten(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(f"{name} {key}".strip(), inner)
    elif isinstance(value, list):
        yield name, "; ".join(map(_in_words, value)) if value else "none"
    elif value is not None:
        yield name, str(value)
