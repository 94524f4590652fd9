"""Verbs that read what runs have left: score, rescore, compare, report. They need no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finesight.cli.options import JsonOption, RunArgument
from finesight.cli.output import print_json, print_prose, print_rich

if TYPE_CHECKING:
    from finesight.evaluate.comparison import Compared
    from finesight.rundir import RunDir
    from finesight.schema import Record


def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A predictions file (.jsonl).")],
    metrics: Annotated[
        list[str],
        typer.Option("--metric", metavar="METRIC", help="How answers are scored: `finesight list metrics`."),
    ],
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For CLIP scores: where the pictures lie that the lines name as `image`."),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH", help="Beside --images: which CLIP. Default: openai/clip-vit-base-patch32."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="NEW", help="Beside --images: write the lines with their CLIP scores, to be compared."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Score a predictions file.

    No model is needed, but for CLIP scores. A line is {"id": "17", "prediction": "yes", "references": ["yes", "yeah"]};
    docs/run-folder.md names what else it may hold.
    """
    from finesight.evaluate.scoring import score_answers, score_file
    from finesight.rundir import write_records

    metric = _one_metric(metrics)
    _require_use_of_clip(metric, images, clip, output)
    if images is None:
        scored = score_file(file, metric)
    else:
        records = _with_clip_scores(file, images, clip)
        scored = score_answers(records, metric, str(file))
        if output is not None:
            write_records(output, records)
    if json:
        print_json(scored)
        return
    from finesight.report.terminal import how_scored, records_table

    print_rich(records_table(scored))
    print_prose(how_scored(scored))


def _one_metric(metrics: list[str]) -> str:
    """Return the metric that is asked for. Raises `UserError` for several, of which the last would win in silence."""
    from finesight.errors import UserError

    first, *others = metrics
    if others:
        raise UserError(f"--metric {' --metric '.join(metrics)}: one at a time", hint="ask once for each")
    return first


def _require_use_of_clip(metric: str, images: Path | None, clip: str | None, output: Path | None) -> None:
    """Raise `UserError` for options that would do nothing, and for a file that would be overwritten."""
    from finesight.errors import UserError
    from finesight.evaluate.metrics.clip_score import NAMES
    from finesight.evaluate.metrics.metrics import metric_named

    metric_named(metric)
    if images is None and (clip or output):
        raise UserError("--clip and --output are for CLIP scores of pictures", hint="add --images FOLDER")
    if images is not None and metric not in NAMES:
        raise UserError(f"{metric} looks at no pictures", hint=f"--images is for {', '.join(NAMES)}")
    if output is not None and output.exists():
        raise UserError(f"{output}: exists already, and is not overwritten", hint="name another file with --output")


def _with_clip_scores(file: Path, images: Path, clip: str | None) -> list[Record]:
    """Return a file's records with what CLIP says of them and their pictures."""
    from finesight.evaluate.predictions import read_predictions
    from finesight.recipe.evaluate import ClipCheckpoint

    records = read_predictions(file)  # before torch is imported
    from finesight.evaluate.image_scores import score_with_images

    return score_with_images(records, images, ClipCheckpoint(name_or_path=clip) if clip else ClipCheckpoint())


def compare(
    contenders: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Run folders, RUN@before or RUN@blind, or predictions files (.jsonl)."),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="METRIC",
            help="How answers are scored. Default: as the runs' recipes say; else exact_match.",
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
        _require_place_for_page(html)
    metric = _one_metric(metrics) if metrics else None
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


def _require_place_for_page(path: Path) -> None:
    """Raise `UserError` where something else than a comparison's page would be written over, or looked for."""
    from finesight.errors import UserError
    from finesight.report.comparison.page import is_comparison

    if path.is_dir():
        raise UserError(f"--html {path}: a folder, and not a file", hint=f"--html {path / 'comparison.html'}")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"--html {path}: the name of a page ends in .html",
            hint="--html takes the page to write: finesight compare A B --html comparison.html",
        )
    if path.exists() and not is_comparison(path):
        raise UserError(
            f"--html {path}: exists already, is no page of `finesight compare`, and is not overwritten",
            hint="name another file",
        )


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
        raise UserError(f"{path}: an evaluation, not a run", hint=folder.how_compared)
    return folder
