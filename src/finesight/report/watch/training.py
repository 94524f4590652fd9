"""How a stage's training is going, by its lines of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finesight.report.files import Content, RunFiles

RECENT = 10
"""Lines over which a speed is taken."""

Curve = tuple[tuple[int, float], ...]
"""Steps, and the loss at each."""


@dataclass(frozen=True)
class Training:
    """Where the training of a stage is. What was not measured yet is None."""

    stage: str
    step: int
    planned_steps: int | None
    epoch: float
    losses: Curve
    """Each line's own loss per learned token."""
    validation_losses: Curve
    """The loss by which a checkpoint is chosen: replay left out."""
    scores: Mapping[str, float]
    """Of the tasks that are watched, at the last validation."""
    best: Content | None
    """What best.json says."""
    learning_rate: Mapping[str, float]
    """Of each part."""
    grad_norm: float | None
    peak_memory_gib: float | None
    questions_per_second: float | None
    """While training: validations and checkpoints of the last lines left out."""
    tokens_per_second: float | None
    seconds: float
    """Since the stage began, without pauses."""
    seconds_left: float | None
    """Of this stage, if it goes on as so far, validations included; None when it is over."""
    is_over: bool
    """Whether the stage has come to its end, which may be an early one."""

    def to_json(self) -> dict[str, Any]:
        """Return it for programs: of the losses the last ones. metrics.jsonl has them all."""
        content = asdict(self)
        for name, curve in (("loss", content.pop("losses")), ("validation_loss", content.pop("validation_losses"))):
            content[name] = curve[-1][1] if curve else None
        return content


def describe_training(files: RunFiles) -> Training | None:
    """Return where training is, in the stage that is at work, or was last; None before its first line."""
    if not files.metrics:
        return None
    stage = files.metrics[-1]["stage"]
    return _describe(stage, [row for row in files.metrics if row["stage"] == stage], files.best.get(stage))


def _describe(stage: str, rows: Sequence[Content], best: Content | None) -> Training:
    last = rows[-1]
    trained = [row for row in rows if row["kind"] == "train"]
    validated = [row for row in rows if row["kind"] == "validation"]
    planned: int | None = last.get("planned_steps")  # a run of an earlier version does not say it
    is_over = best is not None and bool(best["finished"])
    questions, tokens, seconds = _recent_work(rows)
    return Training(
        stage=stage,
        step=last["step"],
        planned_steps=planned,
        epoch=last["epoch"],
        losses=tuple((row["step"], row["loss"]) for row in trained),
        validation_losses=tuple((row["step"], row["loss_by_role"]["train"]) for row in validated),
        scores=validated[-1]["scores"] if validated else {},
        best=best,
        learning_rate=trained[-1]["learning_rate"] if trained else {},
        grad_norm=trained[-1]["grad_norm"] if trained else None,
        peak_memory_gib=trained[-1]["peak_memory_gib"] if trained else None,
        questions_per_second=questions / seconds if seconds else None,
        tokens_per_second=tokens / seconds if seconds else None,
        seconds=last["seconds"],
        seconds_left=None if planned is None or is_over else _seconds_a_step(rows) * (planned - last["step"]),
        is_over=is_over,
    )


def _recent_work(rows: Sequence[Content]) -> tuple[int, int, float]:
    """Return questions, tokens and seconds of the last lines of training."""
    recent = list(_work(rows))[-RECENT:]
    questions, tokens, seconds = (sum(column) for column in zip(*recent, strict=True)) if recent else (0, 0, 0.0)
    return questions, tokens, seconds


def _work(rows: Sequence[Content]) -> Iterator[tuple[int, int, float]]:
    before = 0.0
    for row in rows:
        if row["kind"] == "train":
            yield row["examples"], row["tokens"], row["seconds"] - before
        before = row["seconds"]


def _seconds_a_step(rows: Sequence[Content]) -> float:
    """Return seconds an optimizer step. The first line is left out where there are others: it holds the warming up."""
    first, last = rows[0], rows[-1]
    if last["step"] > first["step"]:
        return float((last["seconds"] - first["seconds"]) / (last["step"] - first["step"]))
    return float(last["seconds"] / max(1, last["step"]))
