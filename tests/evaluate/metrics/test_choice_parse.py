"""Which option an answer chooses: every form that says so, and every trap that only seems to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.metrics.choice_parse import normalise, parse_choice, right_choices
from finesight.schema import Record

COLOURS = ("red", "dark blue", "green", "жёлтый")
ANIMALS = ("cat", "dog", "a bird", "none")
CYRILLIC = ("А", "Б", "В", "Г")
COLOURED_FOUR = tuple("wxyz")


def choice(answer: str, choices: tuple[str, ...] = COLOURS, letters: tuple[str, ...] = ()) -> int | None:
    return parse_choice(Record("1", answer, ("A",), choices=choices, letters=letters))


@pytest.mark.parametrize(
    "answer",
    [
        "B",
        "b",
        " B\n",
        "(b)",
        "[B]",
        "B.",
        "B)",
        "b:",
        "B!",
        '"B"',
        "**B**",
        "«B».",
        "B. dark blue",
        "B: Dark blue.",
        "(B) dark blue",
        "B dark blue",
        "B - dark blue",
        "B — because of the sky",
        "B\nIt is the sky's colour.",
        "B\u2028It is the sky's colour.",
        "B. Because A car is dark",
        "B. The sky is so.",
        "Answer: B",
        "Answer:B",
        "answer is b.",
        "The answer is (B).",
        "The correct answer is: B. dark blue",
        "**Answer:** B",
        "Answer = B",
        "Option B",
        "The correct option is B",
        "The answer is option B.",
        "I think that the answer is B.",
        "A is wrong. The answer is B.",
        "Answer: B\nAnswer: B",
        "Ответ: B",
        "Правильный ответ — B",
        "Ответ: вариант B",
        "Это буква B",
        "Правильным ответом является B.",
        # Cyrillic letters
        "В",
        "в)",
        "Ответ: В",
        "Б",
        "Ответ: Б",
        "Б. dark blue",
        # the option's text
        "dark blue",
        "Dark  Blue.",
        "the dark blue",
        "The answer is dark blue.",
        "Ответ: dark blue",
        # Unicode
        "\uff22",
        "\uff22\uff0e",
        "\u24b7",
        "\u200fB\u200e",
        "B\r\n",
        "\ufeffB",
        "B. " + "the sky " * 1250,
    ],
)
def test_the_second_option_is_chosen(answer: str) -> None:
    assert choice(answer) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "?",
        "E",
        "Г",
        "1",
        "Beautiful",
        "Blue",
        "Be B",
        "A dog",
        "a small dog",
        "A is the first letter",
        "В доме",
        "A.M.",
        "I see a car",
        "A or B",
        "A, B",
        "a, b and c",
        "A/B",
        "A B",
        "A and B",
        "A. and B",
        "B, not C",
        "B. green",
        "B. Or C.",
        "B. The answer is C.",
        "Answer: A. Answer: B.",
        "The answer is A dog",
        "The answer is not B",
        "The answer is B or C",
        "Option A is wrong, option B is right",
        "Answer:",
        "choice red",
        "It is not red",
        "red and green",
        "blue",
        "nan",
        "\U0001f171",
        "B" * 10_000,
        "red " * 2500,
        "answer " * 1400,
    ],
)
def test_no_option_is_guessed(answer: str) -> None:
    assert choice(answer) is None


@pytest.mark.parametrize(
    ("answer", "choices", "place"),
    [
        # articles
        ("A dog", ANIMALS, 1),
        ("A dog", ("dog", "cat"), 0),
        ("a bird", ANIMALS, 2),
        ("bird", ANIMALS, 2),
        ("A. dog", ANIMALS, None),
        ("The answer is A dog.", ANIMALS, 1),
        ("Answer: A. dog", ANIMALS, None),
        ("B. A dog", ANIMALS, 1),
        ("B. A dog is running", ANIMALS, 1),
        ("None", ANIMALS, 3),
        ("a", ("a dog", "dog"), 0),
        ("dog", ("a dog", "dog"), 1),
        ("the dog", ("a dog", "dog"), None),
        # other languages
        ("желтый", COLOURS, 3),
        ("Жёлтый.", COLOURS, 3),
        ("Ответ: же\u0308лтый", COLOURS, 3),
        ("σκύλος", ("γάτα", "ΣΚΎΛΟΣ"), 1),
        ("cafe\u0301", ("th\u00e9", "caf\u00e9"), 1),
        ("כלב", ("חתול", "כלב"), 1),
        ("\U0001f44e", ("\U0001f44d", "\U0001f44e"), 1),
        ("\uff14", ("3", "4"), 1),
        # texts that differ by their marks, or not at all
        ("x > y", ("x < y", "x > y"), 1),
        ("x y", ("x < y", "x > y"), None),
        ("-5", ("5", "-5"), 1),
        ("4", ("4", "1", "4"), None),
        ("C", ("4", "1", "4"), 2),
        ("C. 4", ("4", "1", "4"), 2),
        # a letter counts before a text, a whole text before a letter with something behind it
        ("B", ("B", "A"), 1),
        ("X", ("O", "X"), 1),
        ("A. thaliana", ("C. elegans", "A. thaliana"), 1),
        ("C. elegans", ("C. elegans", "A. thaliana", "E. coli"), 0),
        ("Vitamin C", ("Vitamin A", "Vitamin B", "Vitamin C"), 2),
        ("B. Vitamin C", ("Vitamin A", "Vitamin C", "Vitamin B"), 1),
        ("A. cat", ("A. cat", "B. dog"), 0),
        ("cat", ("A. cat", "B. dog"), None),
        # options that are not there
        ("C", ("cat", "dog", "nan", "nan"), None),
        ("nan", ("cat", "dog", "nan", "bird"), None),
        ("D", ("cat", "dog", "nan", "bird"), 3),
        ("C", ("cat", "dog", "", "bird"), None),
        ("D", ("cat", "dog", "bird"), None),
    ],
)
def test_known_cases(answer: str, choices: tuple[str, ...], place: int | None) -> None:
    assert choice(answer, choices) == place


@pytest.mark.parametrize(
    ("answer", "letters", "place"),
    [
        ("Б", CYRILLIC, 1),
        ("В", CYRILLIC, 2),
        ("B", CYRILLIC, 2),
        ("Ответ: г", CYRILLIC, 3),
        ("а) w", CYRILLIC, 0),
        ("A", CYRILLIC, 0),
        ("D", CYRILLIC, None),
        # a question without its third option
        ("D", ("A", "B", "D", "E"), 2),
        ("C", ("A", "B", "D", "E"), None),
        ("2", ("1", "2", "3", "4"), 1),
        ("(3) y", ("1", "2", "3", "4"), 2),
        ("1, 2 and 3", ("1", "2", "3", "4"), None),
        ("ii.", ("i", "ii", "iii", "iv"), 1),
        ("β", ("α", "β", "γ", "δ"), 1),
        ("ب", ("أ", "ب", "ج", "د"), 1),
    ],
)
def test_options_may_be_called_otherwise(answer: str, letters: tuple[str, ...], place: int | None) -> None:
    assert choice(answer, COLOURED_FOUR, letters) == place


@pytest.mark.parametrize(
    ("references", "letters", "places"),
    [
        (("B",), (), {1}),
        (("b",), (), {1}),
        (("Dark blue",), (), {1}),
        (("(B)",), (), {1}),
        (("B", "C"), (), {1, 2}),
        (("Б",), CYRILLIC, {1}),
        (("В",), CYRILLIC, {2}),
        (("E",), (), set()),
        (("blue",), (), set()),
        (("B", "blue"), (), set()),
    ],
)
def test_references_name_options(references: tuple[str, ...], letters: tuple[str, ...], places: set[int]) -> None:
    assert right_choices(Record("1", "", references, choices=COLOURS, letters=letters)) == places


def test_without_choices_there_is_nothing_to_choose() -> None:
    assert choice("A", ()) is None
    assert right_choices(Record("1", "A", ("A",))) == set()


@given(st.text(max_size=30))
def test_any_text_is_an_option_or_none(answer: str) -> None:
    assert choice(answer) in (None, 0, 1, 2, 3)


def test_the_options_of_real_questions_are_told_by_letter_and_by_text(shared: Path) -> None:
    files = sorted((shared / "data" / "mcq_puzzlevqa" / "PuzzleVQA" / "data").glob("*.json"))
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert len(rows) == 400
    for row in rows:
        choices = tuple(map(str, row["options"]))
        for place, text in enumerate(choices):
            assert choice(f"{'ABCD'[place]}. {text}", choices) == place
            assert choice(text, choices) == (place if choices.count(text) == 1 else None)
        assert len(right_choices(Record("1", "", (str(row["answer"]),), choices=choices))) == 1


def test_a_letter_is_one_to_the_majority_however_it_is_typed() -> None:
    assert normalise("В") == normalise("b.") == normalise("B") != normalise("A")
    assert normalise("Dark blue.") == normalise("dark  blue")
