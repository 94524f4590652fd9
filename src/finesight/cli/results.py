"""Verbs that read what runs have left: score, rescore, compare, report. They need no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finesight.cli.options import JsonOption, RunArgument
from finesight.cli.output import print_json, print_rich

if TYPE_CHECKING:
    from finesight.rundir import RunDir

if TYPE_CHECKING:
    from finesight.evaluate.comparison import Compared


def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A predictions file (.jsonl).")],
    metric: Annotated[str, typer.Option(metavar="METRIC", help="How answers are scored: `finesight list metrics`.")],
    json: JsonOption = False,
) -> None:
    """Score a predictions file: no model is needed.

    A line is {"id": "17", "prediction": "yes", "references": ["yes", "yeah"]}; docs/run-folder.md names what else it
    may hold.
    """
    from finesight.evaluate.scoring import score_file

    scored = score_file(file, metric)
    if json:
        print_json(scored)
        return
    from finesight.report.terminal import how_scored, records_table

    print_rich(records_table(scored), how_scored(scored))


def compare(
    contenders: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Run folders, RUN@before or RUN@blind, or predictions files (.jsonl)."),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="How answers are scored. Default: as the runs' recipes say; else exact_match."
        ),
    ] = None,
    intersect: Annotated[
        bool, typer.Option("--intersect", help="Compare the examples that all have answered, where they differ.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Write a page as well: drawings, kinds of question, answers side by side."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare two or more runs on the same examples.

    Also predictions files. Gives each one's score, and the paired difference from the first with its interval. With
    --html the last line printed is the page's path; the JSON holds it, and what the page shows.
    """
    from finesight.evaluate.comparison import compare_answers

    if html is not None:
        _require_file(html, "--html")
    compared = compare_answers(contenders, metric, intersect=intersect)
    comparison = compared.content if html is None else _write_comparison(compared, html)
    if json:
        print_json(comparison)
        return
    from finesight.report.terminal import comparison_table

    print_rich(comparison_table(comparison))
    if html is not None:
        print(html)


def _write_comparison(compared: Compared, page: Path) -> dict[str, Any]:
    """Write the comparison's page; return what it shows, with its path."""
    from finesight.evaluate.comparison_detail import detail, judged_answers, picture_folders
    from finesight.report.comparison.page import write_comparison

    detailed = detail(compared)
    write_comparison(detailed, judged_answers(compared), picture_folders(compared.contenders), page)
    return {"page": str(page), **detailed}


def _require_file(path: Path, option: str) -> None:
    """Raise `UserError` where a folder stands in the place of the file that is to be written."""
    from finesight.errors import UserError

    if path.is_dir():
        raise UserError(f"{option} {path}: a folder, and not a file", hint=f"{option} {path / 'comparison.html'}")


def rescore(run: RunArgument, json: JsonOption = False) -> None:
    """Score a run's stored answers anew.

    As its recipe says now: another metric is a change of RUN/recipe.yaml. Verdict and report are written anew; no model
    is asked.
    """
    folder = _run_at(run)
    from finesight.evaluate.verdict import rejudge
    from finesight.report.page import write_report
    from finesight.report.terminal import verdict_lines

    verdict = rejudge(folder)
    folder.save("verdict", verdict)
    page = write_report(folder)
    if json:
        print_json({**verdict, "report": str(page)})
        return
    for line in verdict_lines(verdict):
        print(line)
    print(page)


def report(run: RunArgument, json: JsonOption = False) -> None:
    """Write a run's report anew, and print its path."""
    folder = _run_at(run)
    from finesight.report.page import write_report

    page = write_report(folder)
    if json:
        print_json({"report": str(page)})
    else:
        print(page)


def _run_at(path: Path) -> RunDir:
    """Return the run in a folder. Raises `UserError` for an evaluation, which has neither verdict nor report."""
    from finesight.errors import UserError
    from finesight.rundir import RunDir

    folder = RunDir.existing(path)
    if folder.is_evaluation:
        raise UserError(f"{path}: an evaluation, not a run", hint=f"its scores are in {path / 'scores.json'}")
    return folder
