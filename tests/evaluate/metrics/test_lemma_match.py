"""Lemma match against known cases and the answers of a Russian model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.errors import UserError
from finesight.evaluate.metrics import exact_match, lemma_match
from finesight.evaluate.metrics.lemma_match import METRIC, normalise
from finesight.schema import Record


def match(prediction: str, *references: str, language: str = "") -> float:
    tags = {"language": language} if language else {}
    return METRIC.measure([Record("1", prediction, references, tags=tags)]).score


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        # Russian
        ("большой", ["большим"], 1),
        ("больший", ["большим"], 1),
        ("Столом.", ["стол"], 1),
        ("стул", ["стол"], 0),
        ("бейсбольной перчатки", ["бейсбольная перчатка"], 1),
        ("перчатка", ["бейсбольная перчатка"], 0),
        ("перчатка бейсбольная", ["бейсбольная перчатка"], 0),
        ("нет, столы!", ["нет стол"], 1),
        ("шкафы", ["стол", "шкаф"], 1),
        ("ежи", ["ёж"], 1),
        ("е\u0308жиками", ["ежик"], 1),
        ("тёмно-синего", ["темно-синий"], 1),
        ("два", ["2"], 0),
        # English
        ("dogs", ["dog"], 1),
        ("two men", ["two man"], 1),
        ("t-shirts", ["T-shirt"], 1),
        ("dogs", ["cat"], 0),
        ("MEN", ["man"], 1),
        # exact match always counts
        ("x-ray", ["xray"], 1),
        ("\U0001f44d", ["\U0001f44d"], 1),
        ("\U0001f44d", ["\U0001f44e"], 0),
        # numbers are what they are
        ("2.5", ["25"], 0),
        ("-5", ["5"], 0),
        ("\u22125.", ["-5"], 1),
        ("5%", ["5"], 1),
        # several alphabets, and those without lemmas
        ("чёрных iPhones", ["чёрный iPhone"], 1),
        ("猫", ["猫"], 1),
        ("猫", ["犬"], 0),
        ("\uff53\uff54\uff4f\uff50 \uff11", ["stop 1"], 1),
        ("\u202bстолы\u202c", ["стол"], 1),
        ("столы\rи\u2028шкафы", ["стол и шкаф"], 1),
        ("столы " * 1666, ["стол " * 1666], 1),
        ("я" * 10_000, ["стол"], 0),
        # nothing to compare
        ("", ["стол"], 0),
        ("...", [""], 0),
        ("", [""], 1),
    ],
)
def test_known_cases(prediction: str, references: list[str], score: float) -> None:
    assert match(prediction, *references) == score


def test_the_alphabet_or_the_tag_tells_the_language() -> None:
    assert match("σκύλοι", "σκύλος") == 1
    assert match("chevaux", "cheval") == 0
    assert match("chevaux", "cheval", language="fr") == 1
    assert match("Chevaux.", "cheval", language="fr-CA") == 1
    assert match("столы", "стол", language="ru-RU") == 1


def test_a_language_without_lemmas_is_refused() -> None:
    with pytest.raises(UserError, match="no lemmas for the language tlh") as refused:
        match("qetlh", "qet", language="tlh")
    assert "cs" in refused.value.hint and "exact_match" in refused.value.hint


@pytest.mark.parametrize(("answer", "library"), [("столы", "pymorphy3"), ("dogs", "simplemma")])
def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch, answer: str, library: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find_spec(name))
    lemma_match._lemmas.cache_clear()
    lemma_match._russian.cache_clear()
    with pytest.raises(UserError, match=f"needs {library}") as refused:
        match(answer, "кот" if library == "pymorphy3" else "cat")
    assert refused.value.hint == "pip install 'finesight[lemmas]'"
    monkeypatch.undo()
    assert match(answer, "стол" if library == "pymorphy3" else "dog") == 1


def test_any_parse_of_a_word_counts_in_the_published_answers(shared: Path) -> None:
    file = shared / "fixtures" / "gqa_ru_predictions" / "eval_testdev_final_300.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    measured = METRIC.measure([Record(row["id"], row["pred"], (row["gold"],)) for row in rows])
    assert (measured.items.sum(), round(measured.score, 4)) == (148, 0.4933)
    by_first_parse = sum(normalise(row["pred"]) == normalise(row["gold"]) for row in rows)
    assert (by_first_parse, round(by_first_parse / len(rows), 4)) == (147, 0.4900)


@given(st.text(st.characters(codec="utf-8"), max_size=12), st.text(max_size=12))
def test_what_matches_exactly_matches(prediction: str, reference: str) -> None:
    record = Record("1", prediction, (reference, prediction))
    assert METRIC.measure([record]).score == 1 == exact_match.score(record)


def test_forms_of_a_word_are_one_to_the_majority() -> None:
    assert normalise("Столами!") == normalise("стол") == "стол"
    assert normalise("Two dogs") == normalise("two dog")
    assert normalise("?") == "?"
