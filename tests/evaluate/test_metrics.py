"""Each metric against a table of known cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finesight.errors import UserError
from finesight.evaluate.metrics.metrics import METRICS, metric_named
from finesight.schema import Record

KNOWN_CASES: dict[str, list[tuple[str, list[str], float]]] = {
    "exact_match": [
        ("yes", ["yes"], 1),
        ("Yes.", ["yes"], 1),
        ("  YES \n", ["yes"], 1),
        ("yes", ["no"], 0),
        ("yes", ["no", "yes"], 1),
        ("yes it is", ["yes"], 0),
        ("the cat", ["cat"], 0),
        ("left   lung", ["left lung"], 1),
        ("left\u00a0lung", ["left lung"], 1),
        ("x-ray", ["xray"], 1),
        ("\u201cda\u201d", ["da"], 1),
        # Unicode
        ("ЁЖ", ["ёж"], 1),
        ("еж", ["ёж"], 0),
        ("е\u0308ж", ["ёж"], 1),
        ("caf\u00e9", ["cafe\u0301"], 1),
        ("cafe", ["caf\u00e9"], 0),
        ("\uff11\uff12", ["12"], 1),
        ("\uff21\uff22\uff23", ["abc"], 1),
        ("STRASSE", ["stra\u00dfe"], 1),
        ("\u0130", ["i\u0307"], 1),
        ("de\u00adtail", ["detail"], 1),
        # numbers
        ("2.5 cm", ["25 cm"], 0),
        ("2.5 cm.", ["2.5 cm"], 1),
        ("1/2", ["12"], 0),
        ("\u00bd", ["1\u20442"], 1),
        ("-5", ["5"], 0),
        ("\u22125", ["-5"], 1),
        ("5%", ["5"], 1),
        ("L4-5", ["L45"], 0),
        # nothing left after normalisation
        ("", [""], 1),
        ("", ["yes"], 0),
        ("   ", [""], 1),
        ("?", [""], 0),
        ("", ["\U0001f44d"], 0),
        ("\U0001f44d", ["\U0001f44d"], 1),
        ("\U0001f44d", ["\U0001f44e"], 0),
    ],
}


def test_every_metric_has_known_cases_and_says_its_rule() -> None:
    assert set(METRICS) == set(KNOWN_CASES)
    assert all(metric.rule.endswith(".") for metric in METRICS.values())


@pytest.mark.parametrize(
    ("name", "prediction", "references", "score"),
    [(name, *case) for name, cases in KNOWN_CASES.items() for case in cases],
)
def test_a_metric_gives_the_known_score(name: str, prediction: str, references: list[str], score: float) -> None:
    assert METRICS[name].measure([Record("1", prediction, tuple(references))]).score == score


def test_exact_match_gives_the_published_figures_on_gqa_ru(shared: Path) -> None:
    answered = shared / "fixtures" / "gqa_ru_predictions" / "eval_testdev_final_300.jsonl"
    rows = [json.loads(line) for line in answered.read_text("utf-8").splitlines()]
    items = METRICS["exact_match"].measure([Record(row["id"], row["pred"], (row["gold"],)) for row in rows]).items
    right = {row["id"]: item for row, item in zip(rows, items, strict=True)}
    assert (sum(right.values()), len(right)) == (139, 300)
    yes_or_no = [row["id"] for row in rows if row["gold"] in ("да", "нет")]
    assert round(sum(right[name] for name in yes_or_no) / len(yes_or_no), 4) == 0.6496


def test_an_unknown_metric_is_told() -> None:
    with pytest.raises(UserError) as refused:
        metric_named("bleu")
    assert refused.value.hint == "the metrics are exact_match"
