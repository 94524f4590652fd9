"""GQA-ru's rule against known cases and published answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finesight.evaluate.metrics.gqa_ru import METRIC
from finesight.schema import Record


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        ("Да.", ["да"], 1),
        (" «да»", ["да"], 0),
        ("да!\r\n", ["да"], 1),
        ("\u2028Стол", ["стол"], 1),
        ("стол", ["шкаф", "стол"], 1),
        ("стул", ["стол"], 0),
        ("темно-синий", ["темносиний"], 1),
        ("темно  синий", ["темно синий"], 0),
        ("большой", ["большим"], 0),
        ("2.5", ["25"], 1),
        # Unicode forms stay what they are
        ("еж", ["ёж"], 0),
        ("Ёж", ["ёж"], 1),
        ("бои\u0306", ["бой"], 0),
        ("\uff11\uff12", ["12"], 0),
        ("ΣΚΎΛΟΣ", ["σκύλος"], 1),
        ("שלום.", ["שלום"], 1),
        ("\U0001f44d", ["\U0001f44d"], 1),
        ("да" * 5000, ["ДА" * 5000], 1),
        # nothing left
        ("", ["да"], 0),
        (".", [""], 1),
    ],
)
def test_known_cases(prediction: str, references: list[str], score: float) -> None:
    assert METRIC.measure([Record("1", prediction, tuple(references))]).score == score


def test_the_published_figures(shared: Path) -> None:
    file = shared / "fixtures" / "gqa_ru_predictions" / "eval_testdev_final_300.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    records = [Record(row["id"], row["pred"], (row["gold"],)) for row in rows]
    measured = METRIC.measure(records)
    assert (measured.items.sum(), len(records), round(measured.score, 4)) == (139, 300, 0.4633)
    yes_or_no = [record for record in records if record.references[0] in ("да", "нет")]
    other = [record for record in records if record.references[0] not in ("да", "нет")]
    assert round(METRIC.measure(yes_or_no).score, 4) == 0.6496
    assert round(METRIC.measure(other).score, 4) == 0.3443


def test_answers_that_differ_by_marks_and_case_are_one_to_the_majority() -> None:
    assert METRIC.normalise(" Да, ") == METRIC.normalise("да") != METRIC.normalise("нет")
