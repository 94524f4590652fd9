"""What a captioning program writes: captions that were asked for, and everything else by its kind."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.caption_lines import CaptionLines
from finesight.schema import Prediction


def line(example_id: object, caption: object) -> bytes:
    return json.dumps({"id": example_id, "caption": caption}).encode()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"Loading the model: 100%", "line 1: Loading the model: 100%"),
        (b'{"id": "1", "caption": "a d', "1 line is not JSON"),
        (b"\xff\xfe\x00", "1 line is not JSON"),
        (b"[" * 100_000, "1 line is not JSON (line 1: [[["),
        (b'["1", "a dog"]', '1 line is not {"id": "…", "caption": "…"}'),
        (b'{"id": "1"}', "1 line is not {"),
        (line(1, "a dog"), "1 line is not {"),
        (line("1", None), "1 line is not {"),
        (line("1", "a \ud83d dog"), "a caption with half a character"),
        (line("7", "a dog"), "a caption for an id that was not asked about (line 1: "),
    ],
)
def test_a_line_that_answers_nothing_is_told(written: bytes, told: str) -> None:
    lines = CaptionLines(["1", "2"])
    assert lines.take(written) is None
    missing, fault = lines.faults()
    assert missing == "2 of 2 captions are missing (1, 2)"
    assert told in fault
    assert len(fault) < 250


def test_faults_are_counted_and_the_first_are_shown() -> None:
    lines = CaptionLines(map(str, range(10)))
    for number in range(1000):
        lines.take(f"step {number}".encode())
    assert lines.faults() == [
        "10 of 10 captions are missing (0, 1, 2, …)",
        "1,000 lines are not JSON (line 1: step 0; line 2: step 1; line 3: step 2; …)",
    ]


def test_the_first_of_two_captions_counts_and_the_second_is_told() -> None:
    lines = CaptionLines(["1"])
    assert lines.take(line("1", "a dog")) == Prediction("1", "a dog")
    assert lines.take(line("1", "a cat")) is None
    assert lines.take(b"  \r") is None
    assert lines.faults() == ['1 line is a second caption for an id (line 2: {"id": "1", "caption": "a cat"})']


@pytest.mark.parametrize("caption", ["", "two\nlines", "a\u2028b\r\nc", "кот и ё", "😀", "x" * 10_000])
def test_captions_stay_what_they_are(caption: str) -> None:
    lines = CaptionLines(["1"])
    assert lines.take(line("1", f" {caption}\n")) == Prediction("1", caption)
    assert lines.faults() == []


@given(st.lists(st.binary(max_size=30) | st.builds(line, st.sampled_from(["1", "2", "3"]), st.text(max_size=9))))
def test_whatever_comes_each_id_is_answered_once(written: list[bytes]) -> None:
    lines = CaptionLines(["1", "2"])
    taken = [caption for one in written if (caption := lines.take(one)) is not None]
    answered = {caption.id for caption in taken}
    assert len(answered) == len(taken) and answered <= {"1", "2"}
    assert any("missing" in fault for fault in lines.faults()) == (answered != {"1", "2"})
