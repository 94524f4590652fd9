"""Parquet as it comes: images as bytes, splits side by side, and a hub that may be out of reach."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from data_files import picture_bytes, vqa_rows, write_parquet
from PIL import Image
from pyarrow import parquet

from finesight.data.sources.read import read_source
from finesight.errors import DataError, UserError
from finesight.recipe.data import VqaColumns, VqaParquet
from finesight.schema import Example


def read(root: Path, dataset: str, **more: Any) -> list[Example]:
    return read_source(VqaParquet(kind="vqa_parquet", dataset=dataset, **more), root)


def test_images_come_out_as_they_were_stored(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", vqa_rows(4, questions=1))
    examples = read(tmp_path, "a.parquet")
    stored = [Image.open(io.BytesIO(picture_bytes(number))).getpixel((0, 0)) for number in range(4)]
    assert [example.images[0].open().getpixel((0, 0)) for example in examples] == stored
    assert [example.id for example in examples] == ["a:1", "a:2", "a:3", "a:4"]
    assert examples[2].images[0].name == "a row 3"


def test_a_table_written_with_image_features_is_not_decoded(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": picture_bytes(1), "path": "x.png"}], "question": ["What?"], "answer": ["a"]}
    features = datasets.Features(
        {"image": datasets.Image(), "question": datasets.Value("string"), "answer": datasets.Value("string")}
    )
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    (example,) = read(tmp_path, "a.parquet")
    assert example.images[0].open().size == (6, 4)


def test_rows_as_vqa_v2_has_them(tmp_path: Path) -> None:
    rows = [
        {
            "image": "1.png",
            "question": "What?",
            "multiple_choice_answer": "cat",
            "answers": [{"answer": text, "answer_id": place} for place, text in enumerate(["cat", "kitten", "cat"])],
            "question_id": 262148000,
            "question_type": "what is",
            "answer_type": "other",
        }
    ]
    write_parquet(tmp_path / "vqa.parquet", rows)
    columns = VqaColumns(
        id="question_id", answer="multiple_choice_answer", answers="answers", question_type="question_type",
        answer_type="answer_type",
    )  # fmt: skip
    (example,) = read(tmp_path, "vqa.parquet", columns=columns)
    assert example.id == "vqa:262148000"
    assert example.references == ("cat", "kitten")
    assert (example.question_type, example.answer_type) == ("what is", "other")


def test_a_row_may_have_several_images_or_none(tmp_path: Path) -> None:
    images = [[{"bytes": picture_bytes(1)}, {"bytes": picture_bytes(2)}], None, []]
    table = pyarrow.table({"image": images, "question": ["a?", "b?", "c?"], "answer": ["a", "b", "c"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    two, none, empty = read(tmp_path, "a.parquet")
    assert [image.open().getpixel((0, 0))[0] for image in two.images] == [1, 2]
    assert none.images == empty.images == ()


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", vqa_rows(1, questions=1))
    assert len(read(tmp_path, "a.parquet")) == 1
    write_parquet(file, vqa_rows(3, questions=1))
    os.utime(file, (1, 1))
    assert len(read(tmp_path, "a.parquet")) == 3


def test_an_image_can_be_sent_to_another_process(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", vqa_rows(300, questions=1))
    image = read(tmp_path, "a.parquet")[200].images[0]
    sent = pickle.dumps(image)
    assert len(sent) < 20_000
    assert pickle.loads(sent).open().getpixel((0, 0)) == image.open().getpixel((0, 0))


def test_a_folder_gives_the_split_that_is_asked_for(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "data" / "train-00000-of-00001.parquet", vqa_rows(2, questions=1))
    write_parquet(tmp_path / "d" / "data" / "test-00000-of-00001.parquet", vqa_rows(3, questions=1))
    assert len(read(tmp_path, "d")) == 2
    assert len(read(tmp_path, "d", split="test")) == 3
    with pytest.raises(DataError, match="named after the split `dev`") as caught:
        read(tmp_path, "d", split="dev")
    assert "test-00000-of-00001.parquet" in caught.value.hint


def test_faults_are_named(tmp_path: Path) -> None:
    rows = vqa_rows(2)
    rows[1]["answer"] = ""
    rows[3]["question"] = None
    write_parquet(tmp_path / "a.parquet", rows)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a.parquet")
    assert "a.parquet" in caught.value.message
    assert "no answer: 1 row (row 2)" in caught.value.message
    assert "no question: 1 row (row 4)" in caught.value.message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"image": "1.png", "question": "What?", "answer_text": "a"}])
    with pytest.raises(DataError, match=r"no column `answer`.*answer_text, image, question") as caught:
        read(tmp_path, "a.parquet")
    assert "did you mean `answer_text`?" in caught.value.hint


def test_names_of_files_are_no_images(tmp_path: Path) -> None:
    parquet.write_table(
        pyarrow.table({"image": ["a.png"], "question": ["a?"], "answer": ["b"]}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="holds string, not stored images") as caught:
        read(tmp_path, "a.parquet")
    assert "vqa_json" in caught.value.hint


def test_rows_whose_bytes_are_not_stored(tmp_path: Path) -> None:
    images = [{"bytes": picture_bytes(1), "path": None}, {"bytes": None, "path": "a.png"}]
    table = pyarrow.table({"image": images, "question": ["a?", "b?"], "answer": ["a", "b"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"bytes are not stored: 1 row \(row 2\)"):
        read(tmp_path, "a.parquet")


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"a\.parquet: not a parquet file"):
        read(tmp_path, "a.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: parquet file or folder not found"):
        read(tmp_path, "b.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no parquet file in this folder"):
        read(tmp_path, "empty")
    parquet.write_table(pyarrow.table({"image": [b""][:0]}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        read(tmp_path, "none.parquet")


def test_a_file_damaged_behind_its_footer(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", vqa_rows(50))
    stored = bytearray(file.read_bytes())
    stored[10 : len(stored) // 2] = bytes(len(stored) // 2 - 10)
    file.write_bytes(stored)
    with pytest.raises(DataError, match=r"a\.parquet: the parquet file is damaged"):
        read(tmp_path, "a.parquet")


def test_a_hub_out_of_reach_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*names: object, **options: object) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    (tmp_path / "vqav2-smal").mkdir()
    with pytest.raises(UserError, match="somebody/vqav2-small: cannot be loaded from the hub") as caught:
        read(tmp_path, "somebody/vqav2-small", split="validation")
    assert "data root" in caught.value.hint
