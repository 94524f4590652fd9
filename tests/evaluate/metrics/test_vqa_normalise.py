"""The official normalisation: every row of the official code's own output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finesight.evaluate.metrics.vqa_normalise import normalise, one_line


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("A Dog's toy.", "dog's toy"),
        ("the couldntve", "couldntve"),
        ("couldn'tve", "couldn't've"),
        ("ow's'at", "'ow's'at"),
        ("somebody'd", "somebodyd"),
        ("Ive", "ive"),
        ("shes", "shes"),
        ("None", "0"),
        ("twenty one", "twenty 1"),
        ("red,green", "red green"),
        ("red, green,blue", "red greenblue"),
        ("1,000 t-shirts", "1000 tshirts"),
        (".5.5.", ".5.5"),
        # English only: nothing else is made alike
        ("Чёрный кот.", "чёрный кот"),
        ("«да»", "«да»"),
        ("ΣΚΎΛΟΣ", "σκύλος"),
        ("cafe\u0301", "cafe\u0301"),
        ("\uff11\uff12", "\uff11\uff12"),
        ("\u05d7\u05ea\u05d5\u05dc.", "\u05d7\u05ea\u05d5\u05dc"),
        ("\U0001f44d!", "\U0001f44d"),
        ("left\u2028lung\r", "left lung"),
        ("the " * 2500, ""),
        # as many periods as the official code takes, and no more
        ("." * 33, "."),
    ],
)
def test_known_cases(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


def test_every_row_of_the_official_output(shared: Path) -> None:
    rows = json.loads((shared / "fixtures" / "vqa_accuracy" / "golden_vqa.json").read_text("utf-8"))["normalise"]
    assert len(rows) == 57
    assert {row["in"]: normalise(row["in"]) for row in rows} == {row["in"]: row["out"] for row in rows}


def test_a_text_on_one_line_keeps_its_case_and_marks() -> None:
    assert one_line("\tThe\nDog. ") == "The Dog."
