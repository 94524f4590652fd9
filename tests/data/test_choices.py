"""Multiple choice as it is published: MMBench's tables and parquet, PuzzleVQA's JSON, and what is told of bad rows."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from data_files import (
    IMAGES,
    choice_rows,
    picture_bytes,
    recipe,
    write_choice_table,
    write_json,
    write_lines,
    write_parquet,
    write_pictures,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from finesight.data.images import verify_images
from finesight.data.sets import read_all
from finesight.data.sources.base64_image import Base64Image
from finesight.data.sources.multiple_choice import read_multiple_choice
from finesight.data.sources.read import read_source
from finesight.data.standins.choices import write_multiple_choice
from finesight.errors import DataError
from finesight.recipe.sources import ChoiceColumns, MultipleChoice, VqaJson
from finesight.schema import Example

MMBENCH = {"id": "index", "hint": "hint", "question_type": "category"}
COLUMNS = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image")
GAP = {"question": "Which?", "A": "red", "B": "nan", "C": "blue", "D": "nan", "answer": "C"}


def choice_spec(file: str, **more: Any) -> MultipleChoice:
    return MultipleChoice.model_validate({"kind": "multiple_choice", "file": file, "images": IMAGES, **more})


def read_rows(root: Path, rows: object, **columns: Any) -> list[Example]:
    write_json(root / "rows.json", rows)
    return read_source(choice_spec("rows.json", columns={"options": "options", **columns}), root)


def read_bench(root: Path, rows: list[dict[str, str]], **more: Any) -> list[Example]:
    """Write a table in MMBench's columns, empty where a row has none, and read it."""
    lines = ["\t".join(COLUMNS), *("\t".join(row.get(name, "nan") for name in COLUMNS) for row in rows)]
    (root / "bench.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_source(choice_spec("bench.tsv", columns=MMBENCH, **more), root)


def in_base64(shade: int) -> str:
    return base64.b64encode(picture_bytes(shade)).decode()


def row_of(**cells: Any) -> dict[str, Any]:
    return {"image": "0.png", "question": "Which?", "options": ["red", "green", "blue"], "answer": "green", **cells}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 3)
    return tmp_path


def test_a_row_of_mmbench(root: Path) -> None:
    row = {
        "index": "241", "question": "Which is it?", "hint": "Look twice.", "A": "red", "B": "blue", "answer": "B",
        "category": "colours", "image": in_base64(1),
    }  # fmt: skip
    (example,) = read_bench(root, [row])
    assert example.id == "bench:241"
    assert example.question == "Look twice.\nWhich is it?\nA. red\nB. blue\nAnswer with the letter of the right option."
    assert (example.letters, example.choices) == (("A", "B"), ("red", "blue"))
    assert (example.answer, example.references) == ("B", ("B",))
    assert example.question_type == "colours"
    (image,) = example.images
    assert image.name == "bench.tsv line 2"
    assert image.open().getpixel((0, 0)) == (1, 0, 7)


def test_a_missing_option_leaves_its_letter_out(root: Path) -> None:
    (example,) = read_bench(root, [{**GAP, "index": "1"}])
    assert dict(zip(example.letters, example.choices, strict=True)) == {"A": "red", "C": "blue"}
    assert "A. red\nC. blue\n" in example.question
    assert example.answer == "C"
    assert example.images == ()


@pytest.mark.parametrize(
    ("options", "answer", "letter"),
    [([4, 1, 5, 2], "4", "A"), (["0", "7", "3"], 7, "B"), (["a", " b "], "b ", "B"), ([2.5, True], True, "B")],
)
def test_numbers_and_texts_are_compared_as_text(root: Path, options: Any, answer: Any, letter: str) -> None:
    (example,) = read_rows(root, [row_of(options=options, answer=answer)])
    assert example.answer == letter
    assert all(isinstance(choice, str) for choice in example.choices)


def test_what_fits_all_rows_decides_whether_an_answer_is_a_letter(root: Path) -> None:
    by_text = [row_of(options=["B", "A"], answer="A"), row_of(options=["red", "A"], answer="red")]
    assert [example.answer for example in read_rows(root, by_text)] == ["B", "A"]
    by_letter = [row_of(options=["B", "A"], answer="A"), row_of(options=["red", "A"], answer="B")]
    assert [example.answer for example in read_rows(root, by_letter)] == ["A", "B"]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"answer": "violet"}, "the answer is none of the options: 1 row (row 2: violet)"),
        ({"options": ["B", "A"], "answer": "A"}, "the answer fits several options (A, B): 1 row (row 2: A)"),
        ({"options": ["x", "x"], "answer": "x"}, "the answer fits several options (A, B): 1 row (row 2: x)"),
        ({"options": ["green", "nan", None]}, "fewer than two options: 1 row (row 2)"),
        ({"options": "green"}, "column `options` holds no list of options: 1 row (row 2)"),
        ({"options": ["green", {}]}, "option B is an object, not text: 1 row (row 2)"),
        ({"options": list(range(27))}, "more options than there are letters: 1 row (row 2)"),
        ({"question": "nan"}, "no question: 1 row (row 2)"),
        ({"answer": None}, "no answer: 1 row (row 2)"),
        ({"image": "none.png"}, "image file missing: 1 row (row 2: none.png)"),
    ],
)
def test_rows_at_fault_are_named(root: Path, cells: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as caught:
        # The first row answers with a word, the third with a letter.
        read_rows(root, [row_of(), row_of(**cells), row_of(answer="C")])
    assert "rows.json" in caught.value.message
    assert told in caught.value.message


def test_all_faults_are_told_at_once(root: Path) -> None:
    rows = [{"index": "1", **GAP, "answer": "E"}, {"index": "2", **GAP, "image": "A" * 401}, {"index": "3", "A": "a"}]
    with pytest.raises(DataError) as caught:
        read_bench(root, rows)
    for told in (
        "the image is damaged base64: 1 row (line 3)", "the answer is none of the options: 1 row (line 2: E)",
        "fewer than two options: 1 row (line 4)", "no question: 1 row (line 4)",
    ):  # fmt: skip
        assert told in caught.value.message


def test_a_missing_column_is_named(root: Path) -> None:
    write_json(root / "rows.json", [row_of()])
    with pytest.raises(
        DataError, match="no column `A` for the options; the columns are answer, image, options"
    ) as told:
        read_source(choice_spec("rows.json"), root)
    assert "columns.options" in told.value.hint


@pytest.mark.parametrize("written", ['["red", "green"]', "['red', 'green']", "('red', 'green')"])
def test_a_list_may_be_written_as_text(root: Path, written: str) -> None:
    (example,) = read_rows(root, [row_of(options=written)])
    assert example.choices == ("red", "green")


def test_copies_name_their_question_and_share_its_group(root: Path) -> None:
    first = {"question": "Which?", "A": "red", "B": "blue"}
    rows = [
        {**first, "index": "7", "answer": "A", "image": in_base64(1)},
        {**first, "index": "1000007", "A": "blue", "B": "red", "answer": "B", "image": in_base64(1)},
        {**first, "index": "2000007", "answer": "A", "question": "Which one?"},
        {**first, "index": "8", "answer": "A", "image": in_base64(2)},
    ]
    examples = read_bench(root, rows, circular_step=1_000_000)
    assert [example.rotation_of for example in examples] == ["", "bench:7", "bench:7", ""]
    groups = [example.group for example in examples]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_a_copy_without_its_question_and_ids_that_are_no_numbers(root: Path) -> None:
    with pytest.raises(DataError, match=r"the question of a copy is missing: 1 row \(1000009 repeats 9\)"):
        read_bench(root, [{**GAP, "index": "7"}, {**GAP, "index": "1000009"}], circular_step=1_000_000)
    with pytest.raises(DataError, match=r"the id is no whole number.*: 1 row \(first\)"):
        read_bench(root, [{**GAP, "index": "first"}, {**GAP, "index": "7"}], circular_step=1_000_000)
    with pytest.raises(ValidationError, match=r"map the column of the ids to columns\.id"):
        choice_spec("bench.tsv", circular_step=1_000_000)


def test_ids_that_repeat_are_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"the id in column `index` is not unique: 1 row \(7\)"):
        read_bench(root, [{**GAP, "index": "7"}, {**GAP, "index": "7"}])


def test_a_row_may_name_the_row_that_has_its_image(root: Path) -> None:
    rows = [{**GAP, "index": "7", "image": in_base64(5)}, {**GAP, "index": "1000007", "image": "7"}]
    own, named = read_bench(root, rows)
    assert own.images == named.images != ()


def test_images_in_base64_are_found_again_where_they_stand(root: Path) -> None:
    # The same picture twice, a name of a file between, and a cell with a line's end before one.
    rows = [
        {**GAP, "index": "1", "image": in_base64(4)},
        {**GAP, "index": "2", "image": "2.png"},
        {**GAP, "index": "3", "image": in_base64(4)},
        {**GAP, "index": "4", "question": '"Which\none?"', "image": f"data:image/png;base64,{in_base64(9)}"},
    ]
    images = [example.images[0] for example in read_bench(root, rows)]
    assert [image.open().getpixel((0, 0)) for image in images] == [(4, 0, 7), (2, 0, 7), (4, 0, 7), (9, 0, 7)]
    first, _, again, _ = images
    assert isinstance(first, Base64Image)
    assert isinstance(again, Base64Image)
    assert first.offset != again.offset
    assert first.content_hash() == again.content_hash()
    assert len(pickle.dumps(first)) < 1000


def test_an_image_in_base64_has_the_hash_of_its_own_file(root: Path) -> None:
    in_table, in_file = read_bench(
        root, [{**GAP, "index": "1", "image": in_base64(2)}, {**GAP, "index": "2", "image": "2.png"}]
    )
    assert in_table.images[0].content_hash() == in_file.images[0].content_hash()
    assert in_table.group == in_file.group


def test_a_file_that_changes_behind_our_back_is_noticed(root: Path) -> None:
    (example,) = read_bench(root, [{**GAP, "index": "1", "image": in_base64(4)}])
    text = (root / "bench.tsv").read_text()
    (root / "bench.tsv").write_text(text.replace(in_base64(4), in_base64(5)))
    with pytest.raises(OSError, match=r"bench\.tsv has changed since it was read"):
        example.images[0].open()


def test_base64_that_is_no_image_is_named_with_its_row(root: Path) -> None:
    examples = read_bench(root, [{**GAP, "index": "1", "image": base64.b64encode(b"no picture" * 20).decode()}])
    with pytest.raises(DataError, match=r"bench\.tsv line 2: not an image"):
        verify_images([image for example in examples for image in example.images])


def test_base64_in_json(root: Path) -> None:
    rows = [row_of(image=[in_base64(4), "1.png"]), row_of(image=in_base64(5))]
    both, one = read_rows(root, rows)
    assert [image.open().getpixel((0, 0)) for image in (*both.images, *one.images)] == [(4, 0, 7), (1, 0, 7), (5, 0, 7)]
    picture = next(text for text in map(in_base64, range(100)) if "/" in text)
    (root / "rows.json").write_text(json.dumps([row_of(image=picture)]).replace("/", "\\/"))
    with pytest.raises(DataError, match=r"base64 is written with escapes: 1 row \(row 1\)"):
        read_source(choice_spec("rows.json", columns={"options": "options"}), root)


def test_parquet_with_a_column_for_each_option(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"index": 5, "image": "1.png", **GAP, "hint": "nan"},
        {"index": 1_000_005, "image": "1.png", **GAP, "A": "blue", "C": "red", "hint": "Look."},
    ]
    write_parquet(tmp_path / "bench" / "dev-00000-of-00001.parquet", rows)
    columns = {"id": "index", "hint": "hint"}
    spec = choice_spec("bench", split="dev", columns=columns, circular_step=1_000_000)
    first, copy = read_source(spec, tmp_path)
    assert first.question.startswith("Which?\nA. red\nC. blue\n")
    assert copy.question.startswith("Look.\nWhich?\nA. blue\nC. red\n")
    assert copy.rotation_of == first.id == "bench:5"
    assert first.images[0].open().getpixel((0, 0)) == (1, 0, 7)


def test_parquet_without_stored_images(tmp_path: Path) -> None:
    write_parquet(tmp_path / "bench.parquet", choice_rows(1))
    with pytest.raises(DataError, match="column `question` holds no stored images"):
        read_source(choice_spec("bench.parquet", columns={"options": "options", "image": "question"}), tmp_path)


def test_every_use_puts_the_options_once_and_its_own_way(root: Path) -> None:
    # Both sources are called `puzzles`, so the ids of the second are renamed, those that copies name with them.
    rows = [row_of(id=number, image=f"{number}.png") for number in range(3)]
    copies = [row_of(id=number + 10, image=f"{number}.png", options=["green", "red"]) for number in range(3)]
    for folder in ("a", "b"):
        write_lines_in(root / folder / "puzzles.jsonl", [*rows, *copies])
    source = {"kind": "multiple_choice", "images": IMAGES, "columns": {"options": "options", "id": "id"},
              "circular_step": 10}  # fmt: skip
    task = {"name": "own", "prompt": "{options}\n{question} {say}", **source, "file": "b/puzzles.jsonl"}
    sets, _ = read_all(
        recipe({"train": [{**source, "file": "a/puzzles.jsonl"}], "allow_leakage": True}, evaluate=[task]), root
    )
    (measured,) = sets.tasks
    by_id = {example.id: example for example in measured.examples}
    learned = [*sets.train, *sets.validation, *sets.test]
    assert {example.question for example in learned} == {
        f"Which?\n{options}\nAnswer with the letter of the right option."
        for options in ("A. red\nB. green\nC. blue", "A. green\nB. red")
    }
    assert {example.question for example in by_id.values()} == {
        "A. red\nB. green\nC. blue\nWhich? {say}", "A. green\nB. red\nWhich? {say}"
    }  # fmt: skip
    assert all(example.rotation_of in by_id for example in by_id.values() if example.rotation_of)
    assert {example.rotation_of for example in learned}.isdisjoint({*by_id})


def write_lines_in(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir()
    write_lines(path, rows)


def test_a_question_that_talks_of_options_in_braces_means_itself(root: Path) -> None:
    (example,) = read_rows(root, [row_of(question="What does {options} or {question} print?")])
    assert example.question.startswith("What does {options} or {question} print?\nA. red\nB. green\nC. blue\n")


def test_a_prompt_says_where_the_options_go() -> None:
    with pytest.raises(ValidationError, match=r"prompt must contain \{options\}"):
        choice_spec("rows.json", prompt="{question}")
    with pytest.raises(ValidationError, match="which only kind: multiple_choice has"):
        VqaJson(kind="vqa_json", file="rows.json", prompt="{question} {options}")


def test_a_record_says_which_question_it_repeats(root: Path) -> None:
    from finesight.evaluate.measure import make_records
    from finesight.schema import Prediction

    rows = [{**GAP, "index": "7"}, {**GAP, "index": "1000007"}]
    examples = {example.id: example for example in read_bench(root, rows, circular_step=1_000_000)}
    records = make_records([Prediction(name, "C") for name in examples], examples, {})
    assert [record.to_json().get("rotation_of") for record in records] == [None, "bench:7"]


FORMS: tuple[dict[str, Any], ...] = (
    {"file": "data/bench.tsv"},
    {"file": "data/bench.csv", "images": "pictures", "columns": {"options": "options"}},
    {"file": "data/bench.tsv", "columns": {**MMBENCH, "group": "who"}, "circular_step": 1_000_000},
    {"file": "rows.json", "images": "pictures", "columns": {"options": "options"}},
    {"file": "rows.jsonl", "images": "pictures", "columns": {"options": ["yes", "no"]}},
    {"file": "one.parquet", "columns": {"options": ["A", "B", "C", "D", "E"]}},
    {"file": "somebody/bench-v1.1", "split": "dev", "columns": {"options": "choices", "id": "n"}, "circular_step": 50},
)


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("words", FORMS)
def test_stand_ins_are_read_by_the_same_reader(words: dict[str, Any], pictures: bool, tmp_path: Path) -> None:
    spec = MultipleChoice.model_validate({"kind": "multiple_choice", **words})
    count = write_multiple_choice(spec, tmp_path, range(1, 25), pictures=pictures)
    examples = read_multiple_choice(spec, tmp_path)
    assert count == len(examples) == 48
    assert {len(example.images) for example in examples} == {int(pictures)}
    assert {example.answer for example in examples} > {"A"}
    assert sum(bool(example.rotation_of) for example in examples) == (24 if spec.circular_step else 0)
    verify_images([image for example in examples for image in example.images])


def test_stand_ins_whose_images_name_the_rows(tmp_path: Path) -> None:
    spec = choice_spec("rows.json", columns={"options": "options", "id": "image"})
    assert write_multiple_choice(spec, tmp_path, range(1, 25), pictures=True) == 24
    assert len(read_multiple_choice(spec, tmp_path)) == 24


def test_a_step_too_small_for_the_stand_ins_is_kept(tmp_path: Path) -> None:
    spec = choice_spec("bench.tsv", columns=MMBENCH, circular_step=5)
    assert write_multiple_choice(spec, tmp_path, range(1, 25), pictures=False) == 10
    assert len(read_multiple_choice(spec, tmp_path)) == 10


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=200), st.binary(max_size=90).map(str),
    st.lists(st.one_of(st.text(max_size=5), st.none(), st.integers()), max_size=4), st.just({}),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({name: CELLS for name in ("image", "question", "options", "answer")})))
def test_any_json_is_read_or_refused(rows: list[dict[str, Any]], root: Path) -> None:
    write_json(root / "any.json", rows)
    try:
        examples = read_source(choice_spec("any.json", columns=ChoiceColumns(options="options", id="answer")), root)
    except DataError as error:
        assert "any.json" in error.message
    else:
        assert all(example.answer in example.letters for example in examples)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(max_size=300), suffix=st.sampled_from([".tsv", ".csv", ".json"]))
def test_any_bytes_are_read_or_refused(text: bytes, suffix: str, root: Path) -> None:
    header = ",".join(COLUMNS).replace(",", "," if suffix == ".csv" else "\t").encode() if suffix != ".json" else b""
    (root / f"any{suffix}").write_bytes(header + b"\n" + text)
    try:
        read_source(choice_spec(f"any{suffix}"), root)
    except DataError as error:
        assert f"any{suffix}" in error.message


def test_a_table_of_choices_has_no_picture_in_memory(tmp_path: Path) -> None:
    write_choice_table(tmp_path / "bench.tsv", choice_rows(4))
    examples = read_source(choice_spec("bench.tsv"), tmp_path)
    stored = [picture_bytes(shade) for shade in range(4)]
    held = pickle.dumps(examples)
    assert not any(picture in held or base64.b64encode(picture) in held for picture in stored)
