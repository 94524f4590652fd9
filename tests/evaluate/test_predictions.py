"""A predictions file that a person brings: whatever it may hold, and each fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from finesight.errors import DataError
from finesight.evaluate.predictions import read_predictions


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"id": 1, "prediction": "a", "references": ["b"]}\n{"id": 2', r":2: not JSON: "),
        ('{"id": 1, "references": ["b"]}', ":1: without prediction"),
        ("[]", ":1: not a mapping"),
        ('{"id": 1, "prediction": "a", "references": "b"}', ":1: references must be a list of texts"),
        ('{"id": 1, "prediction": "a", "references": []}', ":1: references must be a list of texts"),
        ('{"id": 1, "prediction": null, "references": ["b"]}', ":1: prediction must be text"),
        ('{"id": null, "prediction": "a", "references": ["b"]}', ":1: id must be text or a whole number"),
        ('{"id": "", "prediction": "a", "references": ["b"]}', ":1: id must be text or a whole number"),
        ('{"id": [1], "prediction": "a", "references": ["b"]}', ":1: id must be text or a whole number"),
        ('{"id": true, "prediction": "a", "references": ["b"]}', ":1: id must be text or a whole number"),
        ('{"id": 1, "prediction": "a", "references": ["b", null]}', ":1: references must be a list of texts"),
        ('{"id": 1, "prediction": "A", "references": ["A"], "choices": ["x", null]}', ":1: choices must be a list of"),
        ('{"id": 1, "prediction": "a", "references": ["b"], "tags": {"language": 5}}', ":1: tags must be a mapping to"),
        ('{"id": 1, "prediction": "a", "references": ["b"], "group": ["x"]}', ":1: group must be text"),
        (
            '{"id": 1, "prediction": "a", "references": ["b"], "reference_tokens": NaN}',
            "reference_tokens must be a whole",
        ),
        (
            '{"id": 1, "prediction": "a", "references": ["b"], "reference_tokens": -1}',
            "reference_tokens must be a whole",
        ),
        ("[" * 100_000, ":1: too many brackets within brackets"),
        ("", ": holds no predictions"),
        ("x\n" * 9, r":5: not JSON: [^\n]*\nand 4 more lines"),
    ],
)
def test_a_predictions_file_that_cannot_be_read_names_the_lines(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=fault):
        read_predictions(path)


def test_a_predictions_file_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes('\ufeff{"id": "1", "prediction": "a\u2028b\u0085", "references": ["b"]}\r\n\n'.encode())
    (record,) = read_predictions(path)
    assert record.prediction == "a\u2028b\u0085"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ('"gruop": "a"', "1 line with 'gruop', which is not read; did you mean 'group'?"),
        ('"choice": ["a"]', "1 line with 'choice', which is not read; did you mean 'choices'?"),
        ('"tag": "a", "tags": {}', ""),
        ('"image_id": "a"', ""),
        ('"question_id": 7', ""),
        ('"confidence": 0.5', ""),
    ],
)
def test_a_field_that_is_probably_misspelt_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: str, told: str
) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(f'{{"id": 1, "prediction": "a", "references": ["a"], {fields}}}', encoding="utf-8")
    assert len(read_predictions(path)) == 1
    assert capsys.readouterr().err == (f"warning: {path}: {told}\n" if told else "")


def test_numbers_may_stand_for_names_and_options(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(
        '{"id": 17, "prediction": "5", "references": ["5"], "group": 3, "choices": [5, 7.5], "image": null}'
    )
    (record,) = read_predictions(path)
    assert (record.id, record.group, record.choices, record.image) == ("17", "3", ("5", "7.5"), "")


def test_a_file_of_other_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes('{"id": "1", "prediction": "да", "references": ["да"]}'.encode("cp1251"))
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_predictions(path)
