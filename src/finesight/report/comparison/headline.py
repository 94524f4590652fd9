"""What the comparison found, in a headline and a sentence for each contender; no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from finesight import numerals
from finesight.findings import NOT_FOUND
from finesight.report.comparison.marks import Contender
from finesight.report.comparison.roles import is_contest, kept_sentences
from finesight.report.files import Content
from finesight.report.templating import in_one_piece, unbroken
from finesight.report.words import shorten

FOUND = ("better", "worse")
VERDICTS = (*FOUND, NOT_FOUND)
LONGEST_NAME = 40
"""Characters of a name that a headline shows."""


def headline(comparison: Content) -> Markup:
    """Return in a few words what was found.

    A difference counts as found when its interval leaves out zero, and when it does so beside all the others (Holm).
    What was learned by heart is no contest, and does not count.
    """
    contests = list(filter(is_contest, comparison["tasks"]))
    if not contests:
        return Markup("No verdict on learned examples alone")
    found = [change["verdict"] for task in contests for change in task["differences"].values()]
    differences = [verdict for verdict in found if verdict in FOUND]
    if not differences:
        return Markup("No difference found")
    if len(comparison["contenders"]) == 2 and len(set(found)) == 1:
        tasks = {1: "", 2: " on both tasks"}.get(len(found), f" on all {len(found)} tasks")
        name = shorten(comparison["contenders"][1], LONGEST_NAME)
        return Markup("<bdi>{}</bdi> is {}{}").format(name, found[0], tasks)
    every = "Both" if len(found) == 2 else f"All {len(found)}"
    counted = every if len(differences) == len(found) else f"{len(differences)} of {len(found)}"
    return Markup("{} differences found").format(counted)


def sentences(comparison: Content, contenders: Sequence[Contender]) -> tuple[Markup, ...]:
    """Return a sentence for each contender but the first: on which tasks it is better, worse, or not found to differ.

    Behind them stands what each one's own tuning has kept or lost, where tasks ask for it.

    Names are kept apart from what stands around them, whichever way they are written.
    """
    first, *others = contenders
    against = (_sentence(first, other, comparison["tasks"]) for other in others)
    return (*against, *kept_sentences(comparison["tasks"], contenders))


def told(change: Content, figures: numerals.Figures) -> str:
    """Return the verdict on a difference; where none was found, what would mostly have gone unnoticed."""
    if change["verdict"] in FOUND:
        return f"found to be {change['verdict']}"
    return f"{NOT_FOUND}; {_unnoticed(change, figures)}"


def remarks(comparison: Content, contenders: Sequence[Contender]) -> tuple[Markup, ...]:
    """Return how the sentences are to be read, and what was left out."""
    return tuple(_remarks(comparison, contenders))


def _remarks(comparison: Content, contenders: Sequence[Contender]) -> Iterator[Markup]:
    first, *others = contenders
    differences = sum(len(task["differences"]) for task in comparison["tasks"])
    yield Markup(
        "An interval is of questions, not of trainings: another seed, or another number of threads, trains another "
        "model."
    )
    if differences > 1:
        yield Markup(
            "{} were looked at together: each counts as found only where it holds beside the others (Holm)."
        ).format(numerals.plural(differences, "difference"))
    if len(others) > 1:
        yield Markup(
            "All are differences from {}, which was named first. How the others differ among themselves is not told: "
            "name another one first to see that."
        ).format(first.label)
    for task in comparison["tasks"]:
        for contender in contenders:
            if number := task["left_out"][contender.name]:
                yield Markup("{}: {} of {} to other examples left out.").format(
                    task["name"], numerals.plural(number, "answer"), contender.label
                )
    if comparison["left_out"]:
        yield Markup("Not answered by all, and so not compared: {}.").format(", ".join(comparison["left_out"]))


def _sentence(first: Contender, other: Contender, tasks: Sequence[Content]) -> Markup:
    contests = list(filter(is_contest, tasks))
    changes = [(_named(task), task["differences"][other.name], numerals.figures_of(task)) for task in contests]
    if len(tasks) == len(contests) == 1:
        _, change, figures = changes[0]
        clauses = [f"{change['verdict']}, {in_one_piece(figures.difference(change))}"]
        if change["verdict"] not in FOUND:
            clauses.append(unbroken(_unnoticed(change, figures)))
    else:
        by_verdict = {
            verdict: [
                f"{task} ({in_one_piece(figures.difference(change))})"
                for task, change, figures in changes
                if change["verdict"] == verdict
            ]
            for verdict in VERDICTS
        }
        clauses = [f"{verdict} on {', '.join(on)}" for verdict, on in by_verdict.items() if on]
        clauses += [
            f"on learned examples, {task['name']}, {in_one_piece(numerals.figures_of(task).difference(change))}"
            for task in tasks
            if not is_contest(task) and (change := task["differences"][other.name])
        ]
    return Markup("{} against {}: {}.").format(other.label, first.label, "; ".join(clauses))


def _named(task: Content) -> str:
    return f"{task['name']}, which should be kept" if task["role"] == "forgetting" else str(task["name"])


def _unnoticed(change: Content, figures: numerals.Figures) -> str:
    """Return how large a difference would have had to be, where none was found."""
    if change["smallest_detectable"] is None:
        return "a single group cannot show one"
    if not change["better"] and not change["worse"]:
        return "every example scores the same"
    return f"one under {figures.size(change['smallest_detectable'])} would mostly have gone unnoticed"
