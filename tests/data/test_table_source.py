"""Tables of questions as spreadsheets and pandas write them, and what a person is told when one cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_files import IMAGES, picture_bytes, vqa_rows, write_json, write_pictures, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import Row
from finesight.data.sources.read import read_source
from finesight.data.sources.table_rows import read_table
from finesight.data.standins.rows import write_vqa_csv
from finesight.errors import DataError
from finesight.recipe.sources import VqaColumns, VqaCsv, VqaJson
from finesight.schema import Example


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 3)
    return tmp_path


def rows_of(root: Path, stored: bytes, name: str = "rows.csv") -> list[Row]:
    (root / name).write_bytes(stored)
    faults = Faults(name)
    rows = list(read_table(root / name, root, faults))
    faults.raise_if_any()
    return rows


def questions_of(root: Path, stored: str, name: str = "rows.csv", **more: Any) -> list[Example]:
    (root / name).write_text(stored, encoding="utf-8")
    return read_source(VqaCsv(kind="vqa_csv", file=name, images=IMAGES, **more), root)


def fault_of(root: Path, stored: bytes, name: str = "rows.csv") -> DataError:
    with pytest.raises(DataError) as caught:
        rows_of(root, stored, name)
    assert name in caught.value.message
    return caught.value


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    stored = b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n,\r\n2,3\r\n'
    first, second = rows_of(tmp_path, stored)
    assert (first.number, first.where, first.content) == (2, "line 2", {"a": "1", "b": "x\r\ny"})
    assert (second.number, second.where, second.content) == (6, "line 6", {"a": "2", "b": "3"})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_way_of_ending_a_line(tmp_path: Path, end: str) -> None:
    rows = rows_of(tmp_path, end.join(["a,b", "1,2", "3,4"]).encode())
    assert [(row.number, row.content["b"]) for row in rows] == [(2, "2"), (3, "4")]


def test_quoted_cells_hold_what_they_like(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, b'a\tb\n"x\ty"\t"said ""no"", twice"\n', "rows.tsv")
    assert row.content == {"a": "x\ty", "b": 'said "no", twice'}


def test_a_cell_may_hold_a_whole_image(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, b"a,b\n1," + b"x" * 1_000_000 + b"\n")
    assert len(row.content["b"]) == 1_000_000


def test_columns_without_a_name_are_left_alone(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, b",a,\n0,x,\n")
    assert row.content["a"] == "x"


def test_every_fault_of_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    error = fault_of(tmp_path, b'a,b\n1,"x" y\n3,4\n5\n6,7,8\n9,\0\n10,"abc\n1,2\n')
    assert "quotes that do not close, or stand inside a cell: 2 rows (line 2, line 7)" in error.message
    assert "fewer cells than the 2 columns: 1 row (line 4: 1)" in error.message
    assert "more cells than the 2 columns: 1 row (line 5: 3)" in error.message
    assert "NUL byte, which text does not hold: 1 row (line 6)" in error.message
    assert "written twice" in error.hint


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\n , \n", "the file is empty"),
        (b"a,b\n", "the table holds no rows"),
        (b"a,b\n1,2\n3,\xe9\n", "not UTF-8 text (line 3)"),
        ("a,b\n1,2\n".encode("utf-16"), "not UTF-8 text (line 1)"),
        (b"a,a \n1,2\n", "2 columns are called `a`: 1 row (line 1)"),
        (b"a;b\n1;2\n", "one column only, `a;b`, which looks like several with a semicolon between them"),
        (b"a\tb\n1\t2\n", "which looks like several with a tab between them"),
        (b'"a,b\n1,2\n', "quotes that do not close, or stand inside a cell: 1 row (line 1)"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, stored: bytes, told: str) -> None:
    assert told in fault_of(tmp_path, stored).message


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", vqa_rows(1))
    with pytest.raises(DataError, match=r"trains\.csv: file not found") as caught:
        list(read_table(tmp_path / "trains.csv", tmp_path, Faults("")))
    assert "did you mean `train.csv`?" in caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='ab,;\t"\r\n\0\ufeff', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_a_message(tmp_path_factory: pytest.TempPathFactory, stored: bytes) -> None:
    root = tmp_path_factory.getbasetemp()
    for name in ("any.csv", "any.tsv"):
        try:
            rows = rows_of(root, stored, name)
        except DataError as error:
            assert name in error.message
        else:
            assert rows
            numbers = [row.number for row in rows]
            assert numbers == sorted(set(numbers))
            assert numbers[0] >= 2


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(["t.csv", "t.tsv"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str, str]], name: str
) -> None:
    root = tmp_path_factory.getbasetemp()
    rows = [{"a": "1", "b": one, "c": two, "d": three} for one, two, three in cells]
    file = write_table(root / name, rows)
    assert [row.content for row in read_table(file, root, Faults(name))] == rows


def test_a_table_is_read_as_the_same_rows_in_json_are(root: Path) -> None:
    rows = [row | {"kind": "OPEN "} for row in vqa_rows(3)]
    write_table(root / "rows.csv", rows)
    write_json(root / "rows.json", rows)
    columns = VqaColumns(answer_type="kind")
    table = read_source(VqaCsv(kind="vqa_csv", file="rows.csv", images=IMAGES, columns=columns), root)
    plain = read_source(VqaJson(kind="vqa_json", file="rows.json", images=IMAGES, columns=columns), root)
    assert [(e.turns, e.images, e.group, e.references, e.answer_type) for e in table] == [
        (e.turns, e.images, e.group, e.references, e.answer_type) for e in plain
    ]
    assert {example.answer_type for example in table} == {"OPEN"}
    assert [example.id for example in table] == [f"rows:{line}" for line in range(2, 8)]


def test_the_real_questions_as_a_table(vqa_rad: Path, tmp_path: Path) -> None:
    folder = vqa_rad / "data_RAD"
    rows = json.loads((folder / "testset.json").read_text(encoding="utf-8"))
    write_table(tmp_path / "testset.csv", rows)
    columns = VqaColumns(id="qid", image="image_name", answer_type="answer_type")
    table = read_source(
        VqaCsv(kind="vqa_csv", file="testset.csv", images=str(folder / "images"), columns=columns), tmp_path
    )
    plain = read_source(VqaJson(kind="vqa_json", file="testset.json", images="images", columns=columns), folder)
    assert table == [replace(example, source="testset.csv") for example in plain]
    assert Counter(example.answer_type for example in table) == {"CLOSED": 272, "OPEN": 179}


def test_further_answers_are_a_list_as_json_writes_it(root: Path) -> None:
    stored = 'image,question,answer,all\n0.png,What?,cat,"[""kitten"", ""cat""]"\n0.png,What?,3,3.0\n0.png,What?,a,\n'
    examples = questions_of(root, stored, columns=VqaColumns(answers="all"))
    assert [example.references for example in examples] == [("cat", "kitten"), ("3", "3.0"), ("a",)]


def test_a_list_that_python_wrote_is_no_answer(root: Path) -> None:
    stored = "image\tquestion\tanswer\tall\n0.png\tWhat?\tcat\t['kitten', 'cat']\n"
    with pytest.raises(DataError, match=r"answers are no list that JSON knows: 1 row \(line 2\)") as caught:
        questions_of(root, stored, "rows.tsv", columns=VqaColumns(answers="all"))
    assert '["cat", "kitten"]' in caught.value.hint


def test_a_row_may_have_several_images_or_none(root: Path) -> None:
    stored = 'image,question,answer\n"[""0.png"", ""1.png""]",Same?,no\n,Two and two?,4\n'
    two, none = questions_of(root, stored)
    assert [image.name for image in two.images] == ["0.png", "1.png"]
    assert none.images == ()


def test_windows_paths_in_a_table(root: Path) -> None:
    (root / IMAGES / "deep").mkdir()
    (root / IMAGES / "deep" / "9.png").write_bytes(picture_bytes(9))
    (example,) = questions_of(root, "image,question,answer\nC:\\data\\deep\\9.png,What?,a\n")
    assert example.images[0].open().getpixel((0, 0)) == (9, 0, 7)


def test_every_fault_of_the_questions_is_named_with_its_line(root: Path) -> None:
    stored = 'image,question,answer\n0.png,"What\nis it?",\n0.png,,a\ngone.png,What?,a\n'
    with pytest.raises(DataError) as caught:
        questions_of(root, stored)
    assert "no answer: 1 row (line 2)" in caught.value.message
    assert "no question: 1 row (line 4)" in caught.value.message
    assert "image file missing: 1 row (line 5: gone.png)" in caught.value.message


def test_a_missing_column_is_named_with_those_that_are_there(root: Path) -> None:
    with pytest.raises(DataError, match=r"no column `answer` for the answer; .* gold, image, question"):
        questions_of(root, "image,question,gold\n0.png,What?,a\n")


@pytest.mark.parametrize("name", ["sub/rows.csv", "rows.tsv", "rows.txt"])
def test_stand_ins_are_read_back(tmp_path: Path, name: str) -> None:
    columns = VqaColumns(
        id="name", image="file", answer="gold", answers="all", question_type="types.detailed", group="patient"
    )
    spec = VqaCsv(kind="vqa_csv", file=name, images="shown", columns=columns)
    assert write_vqa_csv(spec, tmp_path, range(1, 4), pictures=True) == 6
    examples = read_source(spec, tmp_path)
    assert len(examples) == 6
    assert all(len(example.images) == 1 and len(example.references) == 2 for example in examples)
    assert {example.question_type for example in examples} == {"colour", "exist"}
    assert write_vqa_csv(spec, tmp_path, range(1, 4), pictures=False) == 6
    assert all(example.images == () for example in read_source(spec, tmp_path))
