"""The headline: which verdict the figures allow, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Verdict = Literal["better", "worse", "no difference found", "no better than guessing", "rehearsal"]

REHEARSED = (
    "This was a rehearsal, with a miniature of the model and stand-ins for the data. Every step of the run was gone "
    "through; none of its figures means anything."
)

FEW_GROUPS = 20
"""Below so many groups, intervals over groups are too narrow to be taken at their word."""
KEPT_MARGIN = 0.02
"""An ability counts as kept when a loss of this much (two points) is ruled out."""
_MOST_CAUTIOUS_FIRST: tuple[Verdict, ...] = ("worse", "no better than guessing", "better", "no difference found")
_BASELINE_WORDS = {
    "blind": "the tuned model given the question alone",
    "majority": "the most frequent answer",
    "majority_by_question_type": "the most frequent answer to each type of question",
}


def headline(tasks: Sequence[Mapping[str, Any]], learned_from: Mapping[str, str]) -> tuple[Verdict, list[str]]:
    """Return the verdict on all held-out tasks and a sentence or two on every task.

    `tasks` are entries of verdict.json. `learned_from` names the tasks on sets that the training itself used
    (`validation`, `train`): they are told, and no verdict rests on them. Of several held-out tasks the headline takes
    a bad verdict before a good one.
    """
    reported = [task for task in tasks if task["role"] == "held_out" and task["name"] not in learned_from]
    verdicts = {verdict_on(task) for task in reported}
    overall: Verdict = next((verdict for verdict in _MOST_CAUTIOUS_FIRST if verdict in verdicts), "no difference found")
    sentences = [sentence for task in reported for sentence in _on_held_out(task)]
    if not reported:
        sentences.append("No task with the role held_out on a set of its own was measured, so there is no verdict.")
    for task in tasks:
        if task["role"] == "forgetting":
            sentences.append(_on_forgetting(task))
        elif task not in reported:
            sentences.append(_on_learned(task, learned_from.get(task["name"], "train")))
    return overall, sentences


def verdict_on(task: Mapping[str, Any]) -> Verdict:
    """Return what a task's figures allow to be said; that it is no better than guessing is said before all else."""
    over, difference = task["over_baseline"], task["difference"]
    if over is not None and over["low"] <= 0:
        return "no better than guessing"
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "no difference found"


def _on_held_out(task: Mapping[str, Any]) -> list[str]:
    """Return the change from before to after, and what guessing gives."""
    difference, over = task["difference"], task["over_baseline"]
    if difference["low"] > 0:
        change = "better"
    elif difference["high"] < 0:
        change = "worse"
    else:
        change = "no difference found"
    sentences = [f"{_before_after(task)}, {change}: {_points_with_interval(difference)} on {_size(task)}."]
    if over is not None:
        score = _percent(task["scores"][over["from"]]["score"])
        above = "better than" if over["low"] > 0 else "no better than"
        sentences.append(
            f"{task['name']}: {above} {_BASELINE_WORDS[over['from']]}, which gives {score}: "
            f"{_points_with_interval(over)} over it."
        )
    return sentences


def _on_forgetting(task: Mapping[str, Any]) -> str:
    difference = task["difference"]
    if difference["high"] < 0:
        told = f"lost {_points(-difference['estimate'], signed=False)} {_interval(difference)}"
    elif difference["low"] > 0:
        told = f"kept, and gained {_points(difference['estimate'], signed=False)} {_interval(difference)}"
    elif difference["low"] > -KEPT_MARGIN:
        told = f"kept: {_points_with_interval(difference)}"
    else:
        told = f"cannot tell whether it was kept: {_points_with_interval(difference)}"
    return f"{_before_after(task)}, {told} on {_size(task)}."


def _on_learned(task: Mapping[str, Any], drawn_from: str) -> str:
    why = "which chose the checkpoint" if drawn_from == "validation" else "which was learned"
    return f"{_before_after(task)} on the {drawn_from} set, {why}: no verdict rests on it."


def _before_after(task: Mapping[str, Any]) -> str:
    before, after = (_percent(task["scores"][predictor]["score"]) for predictor in ("before", "after"))
    return f"{task['name']}: {before} → {after}"


def _size(task: Mapping[str, Any]) -> str:
    examples, groups = task["examples"], task["groups"]
    return f"{examples:,} {_plural('example', examples)} in {groups:,} {_plural('group', groups)}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _points_with_interval(difference: Mapping[str, Any]) -> str:
    return f"{_points(difference['estimate'])} {_interval(difference)}"


def _interval(difference: Mapping[str, Any]) -> str:
    return f"(95 % interval {_number(difference['low'])} to {_number(difference['high'])})"


def _points(share: float, *, signed: bool = True) -> str:
    return f"{_number(share) if signed else f'{100 * share:.1f}'} points"


def _number(share: float) -> str:
    """Return a difference in points with its sign; an honest minus, and no sign where it rounds to zero."""
    text = f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
