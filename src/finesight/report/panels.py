"""Which drawings the page shows, and what each says in its title."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from finesight.numerals import Figures, count, figures_of, loss, plural
from finesight.recipe.recipe import Stage
from finesight.report.figures import Bar, BarRow, Curve, draw_bars, draw_curves
from finesight.report.files import Content, RunFiles
from finesight.report.words import PREDICTORS, shorten

MOST_ROWS = 8
"""Kinds of question that a drawing shows; the table beside it has them all."""


@dataclass(frozen=True)
class Key:
    """One entry of a legend: the style sheet draws its sample."""

    style: str
    name: str


@dataclass(frozen=True)
class Panel:
    """A drawing under a title that says what is seen."""

    title: str
    drawing: Markup
    legend: tuple[Key, ...] = ()
    note: str = ""


def task_panels(task: Content) -> tuple[Panel, ...]:
    """Return the bars of a task: all its scores and, where the verdict is on it, those by kind of question."""
    measured = [predictor for predictor in PREDICTORS if task["scores"].get(predictor)]
    if not measured:
        return ()
    rows = [BarRow(PREDICTORS[each], (_bar(each, task["scores"][each]),)) for each in measured]
    title, figures = _scores_title(task), figures_of(task)
    panels = [Panel(title, draw_bars(rows, title, figures))]
    if task["role"] == "held_out":
        breakdowns = task.get("by", {}).items()
        panels += [_breakdown_panel(task, name, kinds) for name, kinds in breakdowns if len(kinds) > 1]
    return tuple(panels)


def stage_panels(files: RunFiles, stage: Stage) -> tuple[Panel, ...]:
    """Return the loss curves of a stage and, where scores were watched while it trained, those."""
    return (*_loss_panel(files, stage), *_watched_panel(files, stage))


def _scores_title(task: Content) -> str:
    scores, figures = task["scores"], figures_of(task)
    of_what = "of the answers are right " if task.get("scale", {}).get("binary", True) else ""
    parts = [
        f"{figures.value(scores[predictor]['score'])} {words}"
        for predictor, words in (
            ("after", f"{of_what}after tuning"),
            ("before", "before"),
            ("blind", "from the question alone"),
        )
        if scores.get(predictor)
    ]
    name = task["name"] if of_what else f"{task['name']} ({task['metric']})"
    return f"{name}: {', '.join(parts)}"


def _breakdown_panel(task: Content, name: str, kinds: Sequence[Content]) -> Panel:
    shown = sorted(kinds, key=lambda kind: -kind["examples"])[:MOST_ROWS]
    predictors = [each for each in PREDICTORS if any(kind["scores"].get(each) for kind in shown)]
    rows = [
        BarRow(
            f"{shorten(str(kind['value']), 24)} ({count(kind['examples'])})",
            tuple(_bar(each, kind["scores"][each]) for each in predictors if kind["scores"].get(each)),
        )
        for kind in shown
    ]
    figures = figures_of(task)
    title = f"{task['name']} by {name.replace('_', ' ')}: {_changes(kinds, figures)}"
    return Panel(
        title,
        draw_bars(rows, title, figures),
        tuple(Key(each, PREDICTORS[each]) for each in predictors),
        f"The {MOST_ROWS} most frequent of {len(kinds)}." if len(kinds) > MOST_ROWS else "",
    )


def _changes(kinds: Sequence[Content], figures: Figures) -> str:
    """Return what changed: each kind where they are few, else in how many the score rose. Never the largest change
    of many: among many small kinds some change is always large."""
    compared = [kind for kind in kinds if kind["scores"].get("before") and kind["scores"].get("after")]
    if not compared:
        return f"scores of {plural(len(kinds), 'kind')}"
    if len(compared) <= 3:
        return ", ".join(_change(kind, figures) for kind in sorted(compared, key=lambda kind: -kind["examples"]))
    rose = sum(kind["scores"]["after"]["score"] > kind["scores"]["before"]["score"] for kind in compared)
    fell = sum(kind["scores"]["after"]["score"] < kind["scores"]["before"]["score"] for kind in compared)
    every = f"all {len(compared)} kinds"
    if len(compared) in (rose, fell):
        return f"the score {'rose' if rose else 'fell'} in {every}"
    return (
        f"the score rose in {rose} of {len(compared)} kinds and fell in {fell}" if rose or fell else f"alike in {every}"
    )


def _change(kind: Content, figures: Figures) -> str:
    scores = kind["scores"]
    return f"{kind['value']} {figures.value(scores['before']['score'])} → {figures.value(scores['after']['score'])}"


def _bar(predictor: str, score: Content) -> Bar:
    high = score["score"] if score["high"] is None else score["high"]
    return Bar(predictor, score["score"], score["low"], high)


def _loss_panel(files: RunFiles, stage: Stage) -> Iterator[Panel]:
    curves = [*_loss_curves(files, stage, "train"), *_loss_curves(files, stage, "validation")]
    if not curves:
        return
    best = _best_point(files, stage)
    legend = [Key(f"{curve.kind}{'-dashed' if curve.is_dashed else ''}", curve.name) for curve in curves]
    if best:
        legend.append(Key("best", f"the checkpoint that validation chose, step {count(best[0])}"))
    title = _loss_title(files, stage)
    yield Panel(title, draw_curves(curves, "loss, nats a learned token", title, best), tuple(legend))


def _loss_curves(files: RunFiles, stage: Stage, kind: str) -> Iterator[Curve]:
    """Yield the loss of one set: as a whole, or by role where examples of two roles are in it."""
    rows = files.metrics_of(stage.name, kind)
    roles = sorted({role for row in rows for role in row.get("loss_by_role", {})}, key=lambda role: role != "train")
    if rows and len(roles) < 2:
        steps = tuple(row["step"] for row in rows)
        yield Curve(kind, kind, steps, tuple(row["loss"] for row in rows))
        return
    for role in roles:
        held = [row for row in rows if role in row["loss_by_role"]]
        name = f"{kind}, {'what is tuned for' if role == 'train' else role}"
        values = tuple(row["loss_by_role"][role] for row in held)
        yield Curve(name, kind, tuple(row["step"] for row in held), values, is_dashed=role != "train")


def _best_point(files: RunFiles, stage: Stage) -> tuple[int, float] | None:
    if stage.name not in files.best:
        return None
    step = files.best[stage.name]["step"]
    losses = {row["step"]: _main_loss(row) for row in files.metrics_of(stage.name, "validation")}
    return (step, losses[step]) if step in losses and math.isfinite(losses[step]) else None


def _main_loss(row: Content) -> float:
    """Return the loss that is drawn as a solid line."""
    by_role = row.get("loss_by_role", {})
    return float(by_role["train"] if len(by_role) > 1 and "train" in by_role else row["loss"])


def _loss_title(files: RunFiles, stage: Stage) -> str:
    for kind, name in (("validation", "Validation loss"), ("train", "Training loss")):
        if rows := files.metrics_of(stage.name, kind):
            first, last = _main_loss(rows[0]), _main_loss(rows[-1])
            if len(rows) == 1:
                return f"Stage {stage.name}: {name.lower()} {loss(last)} at step {count(rows[0]['step'])}"
            lowest = min(map(_main_loss, rows))
            aside = f", {loss(lowest)} at its lowest" if lowest < min(first, last) else ""
            return f"Stage {stage.name}: {name.lower()} went from {loss(first)} to {loss(last)}{aside}"
    return f"Stage {stage.name}"


def _watched_panel(files: RunFiles, stage: Stage) -> Iterator[Panel]:
    rows = [row for row in files.metrics_of(stage.name, "validation") if row.get("scores")]
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    curves = []
    for number, name in enumerate(names):
        held = [row for row in rows if name in row["scores"]]
        values = tuple(100 * row["scores"][name] for row in held)
        curves.append(Curve(name, "validation", tuple(row["step"] for row in held), values, is_dashed=number > 0))
    if curves:
        last = ", ".join(f"{curve.name} {curve.values[0]:.1f} % → {curve.values[-1]:.1f} %" for curve in curves)
        title = f"Watched on validation: {last}"
        legend = tuple(Key("validation-dashed" if curve.is_dashed else "validation", curve.name) for curve in curves)
        yield Panel(title, draw_curves(curves, "right answers, %", title), legend)
