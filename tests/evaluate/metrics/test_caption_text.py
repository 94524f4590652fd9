"""Captions as words: the official ones, in their own line whatever stands in them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from caption_records import LONG, caption_records, coco126, needs_java

from finesight.errors import DataError, FinesightError, UserError
from finesight.evaluate.metrics import caption_text

LINE_ENDS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")

WORDS = [
    ("A man can't eat.", "a man ca n't eat"),
    ("", ""),
    ("   ", ""),
    ("...", ""),
    ("Two dogs, one cat; three - birds!", "two dogs one cat three birds"),
    ("cannot", "can not"),
    # Round brackets were meant to go; the official code looks for them in capitals, and leaves them all.
    ("(a) [b]", "-lrb- a -rrb- -lsb- b -rsb-"),
    ("half of it: ½", "half of it 1/2"),
    ("\u201cquoted\u201d 'so'", "quoted so"),
    ("tab\tand nul\x00and bell\x07", "tab and nul and bell"),
    ("ПРИВЕТ, мир: ёж", "привет мир ёж"),
    ("שלום עולם", "שלום עולם"),
    ("😀 a smile", "a smile"),
    ("half a \ud83d character", "half a character"),
    ("a ||| b", "a | | | b"),
    ("TITLE I", "title i"),
    (LONG, LONG.strip()),
]


@needs_java
def test_words_are_those_of_the_tokenizer() -> None:
    given, expected = zip(*WORDS, strict=True)
    assert caption_text.tokenize(given) == expected


@needs_java
def test_words_are_those_of_the_coco_caption_evaluation(shared: Path) -> None:
    records, golden = coco126(shared)
    captions = caption_text.tokenized(records)
    assert [caption.prediction for caption in captions] == [item["tok_candidate"] for item in golden["items"]]
    assert [list(caption.references) for caption in captions] == [item["tok_references"] for item in golden["items"]]


@needs_java
def test_a_line_end_in_a_caption_moves_no_other() -> None:
    odd = [text for number, end in enumerate(LINE_ENDS) for text in (f"{end}red{end}dog{end}", f"caption {number}")]
    plain = [text for number, _ in enumerate(LINE_ENDS) for text in ("red dog", f"caption {number}")]
    assert caption_text.tokenize(odd) == tuple(plain)


@needs_java
def test_words_do_not_depend_on_the_next_caption() -> None:
    ends = ("the flag of the U.S.", "dogs, cats, etc.", "at 5 p.m.", "the sign says no.", 'he says "', "the 1")
    neighbours = ("A dog", "a dog", "2 dogs", "1/2 dog", "", '"Hi"')
    texts = [text for end in ends for neighbour in neighbours for text in (end, neighbour)]
    alone = caption_text.tokenize(texts)[::2]
    assert [set(alone[start : start + len(neighbours)]) for start in range(0, len(alone), len(neighbours))] == [
        {"the flag of the u.s."}, {"dogs cats etc."}, {"at 5 p.m."}, {"the sign says no"}, {"he says"}, {"the 1"},
    ]  # fmt: skip


@needs_java
def test_nothing_is_no_words() -> None:
    assert caption_text.tokenize([]) == ()


@pytest.mark.parametrize(
    ("text", "form"),
    [("A  Red\tDog\n", "a red dog"), ("", ""), ("ЁЖ", "ёж"), ("A dog.", "a dog."), ("a\u2028b", "a b")],
)
def test_captions_count_as_the_same_in_one_form(text: str, form: str) -> None:
    assert caption_text.normalise(text) == form


def test_records_without_references_are_counted_and_named() -> None:
    records = caption_records(("a dog", ["a dog"]), ("a cat", []), ("a fox", []))
    with pytest.raises(DataError, match="2 of 3 records have no reference: 1, 2"):
        caption_text.tokenized(records)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pycocoevalcap, which is not installed") as refused:
        caption_text.tokenize(["a caption of a machine without the package"])
    assert refused.value.hint == "pip install 'finesight[captions]'"


def test_missing_java_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="the Penn Treebank tokenizer is a Java program"):
        caption_text.tokenize(["a caption of a machine without Java"])


@pytest.mark.parametrize("printed", [["a dog"], ["a dog", "", "a cat", "", "a fox"], ["a dog", "a cat", "", ""]])
def test_a_tokenizer_that_moves_lines_is_found_out(monkeypatch: pytest.MonkeyPatch, printed: list[str]) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setattr(caption_text, "answer_lines", lambda *_: printed)
    with pytest.raises(FinesightError, match="lines for 2 captions"):
        caption_text.tokenize(["a moved dog", f"a moved cat {len(printed)} {printed[1:2]}"])
