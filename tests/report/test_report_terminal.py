"""What the command line prints: short, exact, and with names shown as they are."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from run_folder import write_run

from finesight import numerals
from finesight.report.tables import learning_summary
from finesight.report.terminal import comparison_table, parameter_table, verdict_lines


def printed(table: Table) -> str:
    """Return the table as a terminal of 80 columns shows it."""
    stream = StringIO()
    Console(file=stream, width=80).print(table)
    return stream.getvalue()


def score(share: float) -> dict[str, Any]:
    return {"score": share, "low": share - 0.05, "high": share + 0.05, "right": 10}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numerals.Figures().score({"score": 0.41, "low": 0.362, "high": 0.459}), "41.0 % [36.2, 45.9]"),
        (numerals.Figures().difference({"estimate": -0.021, "low": -0.06, "high": 0.0}), "−2.1 points [−6.0, 0.0]"),
        (numerals.Figures().change(-0.0001), "0.0 points"),
        (numerals.Figures(percent=False).score({"score": 0.0, "low": 0.0, "high": 0.0}), "0.000 –"),
        (numerals.Figures().change(0.113), "+11.3 points"),
        (numerals.percent(1.0), "100.0 %"),
        (numerals.Figures(percent=False).score({"score": 0.6277, "low": 0.4, "high": None}), "0.628 [0.400, ∞]"),
        (numerals.Figures(percent=False).difference({"estimate": 0.1, "low": None, "high": 0.2}), "+0.100 [−∞, 0.200]"),
        (numerals.Figures(percent=False).change(-0.0004), "0.000"),
        (numerals.probability(0.00004), "< 0.001"),
        (numerals.probability(0.0404), "0.040"),
        (numerals.plural(1, "image"), "1 image"),
        (numerals.plural(1234, "image"), "1,234 images"),
    ],
)
def test_figures_are_written_alike_everywhere(written: str, expected: str) -> None:
    assert written == expected


def test_the_verdict_is_a_few_plain_lines(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", verdict={"warnings": ["9 groups only"]})
    verdict = run.load("verdict")
    lines = verdict_lines(verdict)
    held_out = verdict["tasks"][0]
    before, after, blind = (100 * held_out["scores"][each]["score"] for each in ("before", "after", "blind"))

    assert lines[0] == "Verdict: better"
    assert lines[1].startswith(f"  held_out: {before:.1f} % → {after:.1f} % (120 questions in 24 groups). Better: +")
    assert f"after, question alone {blind:.1f} %" in lines[2]
    assert lines[-1] == "warning: 9 groups only"


def test_a_verdict_that_is_not_there_is_said() -> None:
    assert verdict_lines({}) == ["Verdict: none yet"]


def test_a_comparison_shows_names_as_they_are() -> None:
    change = {"estimate": 0.1, "low": 0.02, "high": 0.18, "p_holm": 0.012, "p_mcnemar": 0.002,
              "better": 30, "worse": 10, "unchanged": 1411,
              "smallest_detectable": 0.11, "verdict": "better", "from": "[red]first[/red]"}  # fmt: skip
    unsure = {**change, "low": -0.02, "verdict": "no difference found"}
    names = ["[red]first[/red]", "second", "third"]
    task = {"name": "held_out", "role": "held_out", "by_tuning": {},
            "metric": "exact_match", "examples": 1451, "groups": 63,
            "scores": dict(zip(names, (score(0.4), score(0.5), score(0.5)), strict=True)),
            "differences": {"second": change, "third": unsure}, "left_out": dict.fromkeys(names, 3)}  # fmt: skip
    comparison = {"contenders": names, "tasks": [task], "left_out": ["[x]"], "warnings": ["held_out: [few] groups"]}
    table = printed(comparison_table(comparison))
    shown = " ".join(table.split())

    for expected in (
        "[red]first[/red]",
        "1,451 examples",
        "40.0 %",
        "[35.0, 45.0]",
        "+10.0 points",
        "[2.0, 18.0]",
        "0.012",
        "Not answered by all: [x]",
        "third: no difference found; one under 11.0 points would mostly have gone unnoticed.",
        "second: 3 answers to other examples left out",
        "warning: held_out: [few] groups",
    ):
        assert expected in shown


def test_what_no_gradient_reaches_of_what_is_trained_is_said() -> None:
    stage = {"trainable": 3_000, "learning": 2_000, "total": 4_000}
    assert learning_summary(stage).endswith("parameters are trainable (75 %). A gradient reaches 2,000 of them.")
    assert learning_summary({**stage, "learning": 3_000}).endswith("(75 %).")


def test_the_parameters_of_each_stage_are_shown(tmp_path: Path) -> None:
    shown = printed(parameter_table(write_run(tmp_path / "run", until="data").load("parameters")))
    told = "9,981,952 of 2,815,975,424 parameters are trainable (0.3545 %)"
    for expected in ("303,507,456", "12,598,272", "lora r=16", "0.0002", told):
        assert expected in shown
