"""Verbs that read what runs have left: compare, report. They need no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finesight.cli.options import JsonOption, RunArgument
from finesight.cli.output import print_json, print_rich


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder or a predictions file (.jsonl).")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another of the same kind.")],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="How answers are scored. Default: as the runs' recipes say; else exact_match."
        ),
    ] = None,
    intersect: Annotated[
        bool, typer.Option("--intersect", help="Compare the examples in both, where the two differ.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Compare two runs on the same examples.

    Also two predictions files. Gives each one's score, and the paired difference with its interval.
    """
    from finesight.evaluate.comparison import compare as compare_records

    comparison = compare_records(a, b, metric, intersect=intersect)
    if json:
        print_json(comparison)
        return
    from finesight.report.terminal import comparison_table

    print_rich(comparison_table(comparison))


def report(run: RunArgument, json: JsonOption = False) -> None:
    """Write a run's report anew, and print its path."""
    from finesight.errors import UserError
    from finesight.rundir import RunDir

    folder = RunDir.existing(run)
    if folder.is_evaluation:
        raise UserError(f"{run}: an evaluation, not a run", hint=f"its scores are in {run / 'scores.json'}")
    from finesight.report.page import write_report

    page = write_report(folder)
    if json:
        print_json({"report": str(page)})
    else:
        print(page)
