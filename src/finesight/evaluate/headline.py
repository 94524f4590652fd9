"""The headline: which verdict the figures allow, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from finesight.findings import NOT_FOUND, find
from finesight.numerals import figures_of, plural

Verdict = Literal["better", "worse", "no difference found", "no better than guessing", "rehearsal"]

REHEARSED = (
    "This was a rehearsal, with a miniature of the model and stand-ins for the data. Every step of the run was gone "
    "through; none of its figures means anything."
)

FEW_GROUPS = 20
"""Below so many groups, intervals over groups are too narrow to be taken at their word."""
MOSTLY_EMPTY = 0.5
"""Share of a task's answers that may be empty before it is worth a warning."""
KEPT_MARGIN = 0.02
"""An ability counts as kept when a loss of this much (two points) is ruled out."""
_MOST_CAUTIOUS_FIRST: tuple[Verdict, ...] = ("worse", "no better than guessing", "better", NOT_FOUND)
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
    overall: Verdict = next((verdict for verdict in _MOST_CAUTIOUS_FIRST if verdict in verdicts), NOT_FOUND)
    sentences = [sentence for task in reported for sentence in _on_held_out(task)]
    if not reported:
        sentences.append("No task with the role held_out on a set of its own was measured, so there is no verdict.")
    for task in tasks:
        if task["role"] == "forgetting":
            sentences.append(_on_forgetting(task))
        elif task not in reported:
            sentences.append(_on_learned(task, learned_from.get(task["name"], "train")))
    return overall, sentences


def warn_of_few_groups(tasks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a warning for each task with so few groups that its intervals cannot be taken at their word."""
    return [
        f"{task['name']}: {plural(task['groups'], 'group')} only; intervals from so few are less sure than they look"
        for task in tasks
        if task["groups"] < FEW_GROUPS
    ]


def warn_of_empty_answers(tasks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a warning for each task of whose questions the tuned model leaves most without any answer."""
    warnings = []
    for task in tasks:
        before, after = (task["outcomes"][predictor] for predictor in ("before", "after"))
        empty, answers = after.get("empty", 0), sum(after.values())
        if empty > MOSTLY_EMPTY * answers:
            warnings.append(
                f"{task['name']}: {empty:,} of {plural(answers, 'answer')} are empty after tuning, "
                f"{before['empty']:,} were before"
            )
    return warnings


def verdict_on(task: Mapping[str, Any]) -> Verdict:
    """Return what a task's figures allow to be said; that it is no better than guessing is said before all else."""
    over, figures = task["over_baseline"], figures_of(task)
    if over is not None and find(over, figures) != "better":
        return "no better than guessing"
    return find(task["difference"], figures)


def _on_held_out(task: Mapping[str, Any]) -> list[str]:
    """Return the change from before to after, what guessing gives, and what of it is form alone."""
    over, figures = task["over_baseline"], figures_of(task)
    change = find(task["difference"], figures)
    sentences = [f"{_before_after(task)}, {change}: {_with_interval(task, task['difference'])} on {_size(task)}."]
    if change == NOT_FOUND and task["difference"].get("smallest_detectable"):
        least = figures.size(task["difference"]["smallest_detectable"])
        sentences.append(f"{task['name']}: a difference under {least} would mostly have gone unnoticed.")
    if over is not None:
        score = figures.value(task["scores"][over["from"]]["score"])
        above = "better than" if find(over, figures) == "better" else "no better than"
        sentences.append(
            f"{task['name']}: {above} {_BASELINE_WORDS[over['from']]}, which gives {score}: "
            f"{_with_interval(task, over)} over it."
        )
    return [*sentences, *_on_form(task)]


def _on_form(task: Mapping[str, Any]) -> list[str]:
    """Return what answers that became right had been before: right but for their form, or in another script."""
    became: Mapping[str, int] = task.get("became_right", {})
    form, script = (became.get(outcome, 0) for outcome in ("other_format", "other_language"))
    became_right = f"{task['name']}: of {plural(sum(became.values()), 'answer')} that became right,"
    sentences = []
    if form:
        sentences.append(
            f"{became_right} {form:,} named the right answer before among more words: that part is form, not knowledge."
        )
    if script:
        was = "was" if script == 1 else "were"
        sentences.append(
            f"{became_right} {script:,} {was} in another script before; whether the model knew the answer then cannot "
            "be told."
        )
    return sentences


def _on_forgetting(task: Mapping[str, Any]) -> str:
    difference, figures = task["difference"], figures_of(task)
    low, high = figures.gain(difference)
    if high < 0:
        told = f"lost {figures.size(difference['estimate'])} {_interval(task, difference)}"
    elif low > 0:
        told = f"kept, and gained {figures.size(difference['estimate'])} {_interval(task, difference)}"
    elif low > -KEPT_MARGIN and figures.percent:
        told = f"kept: {_with_interval(task, difference)}"
    else:
        told = f"cannot tell whether it was kept: {_with_interval(task, difference)}"
    return f"{_before_after(task)}, {told} on {_size(task)}."


def _on_learned(task: Mapping[str, Any], drawn_from: str) -> str:
    why = "which chose the checkpoint" if drawn_from == "validation" else "which was learned"
    return f"{_before_after(task)} on the {drawn_from} set, {why}: no verdict rests on it."


def _before_after(task: Mapping[str, Any]) -> str:
    before, after = (figures_of(task).value(task["scores"][predictor]["score"]) for predictor in ("before", "after"))
    return f"{task['name']}: {before} → {after}"


def _size(task: Mapping[str, Any]) -> str:
    return f"{plural(task['examples'], 'example')} in {plural(task['groups'], 'group')}"


def _with_interval(task: Mapping[str, Any], difference: Mapping[str, Any]) -> str:
    return f"{figures_of(task).change(difference['estimate'])} {_interval(task, difference)}"


def _interval(task: Mapping[str, Any], difference: Mapping[str, Any]) -> str:
    figures = figures_of(task)
    return f"(95 % interval {figures.signed(difference['low'])} to {figures.signed(difference['high'])})"
