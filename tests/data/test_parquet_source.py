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
from data_files import picture_bytes, recipe, vqa_rows, write_joined, write_parquet
from PIL import Image
from pyarrow import parquet

from finesight.data.sets import read_all
from finesight.data.sources.read import read_source
from finesight.data.standins.places import Places
from finesight.data.standins.rows import write_vqa_parquet
from finesight.data.standins.write import write_stand_ins
from finesight.errors import DataError, UserError
from finesight.recipe.sources import ImageTable, VqaColumns, VqaParquet
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


def test_images_are_grouped_by_their_number_in_the_data(tmp_path: Path) -> None:
    rows = [row | {"image_id": 262148 + int(row["image"][:-4]) // 2} for row in vqa_rows(4)]
    write_parquet(tmp_path / "vqa.parquet", rows)
    examples = read(tmp_path, "vqa.parquet", columns=VqaColumns(group="image_id"))
    assert [example.group for example in examples] == ["group:262148"] * 4 + ["group:262149"] * 4


def test_rows_as_the_small_vqa_v2_has_them(tmp_path: Path) -> None:
    rows = [
        {"multiple_choice_answer": row["answer"], "question": row["question"], "image": row["image"]}
        for row in vqa_rows(2)
    ]
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", rows)
    examples = read(tmp_path, "data", split="validation", columns=VqaColumns(answer="multiple_choice_answer"))
    assert [example.references for example in examples] == [("answer 0",)] * 2 + [("answer 1",)] * 2
    assert [example.group == examples[0].group for example in examples] == [True, True, False, False]
    assert len({example.id for example in examples}) == 4


def test_cells_that_are_not_there(tmp_path: Path) -> None:
    rows = [row | {"kind": kind} for row, kind in zip(vqa_rows(2), (float("nan"), 2.5, 1.0, None), strict=True)]
    write_parquet(tmp_path / "a.parquet", rows)
    examples = read(tmp_path, "a.parquet", columns=VqaColumns(question_type="kind"))
    assert [example.question_type for example in examples] == ["", "2.5", "1.0", ""]


def test_questions_are_joined_with_a_table_of_images(tmp_path: Path) -> None:
    spec = VqaParquet.model_validate(write_joined(tmp_path / "gqa", 3))
    examples = read_source(spec, tmp_path)
    assert [example.id for example in examples] == [f"gqa:q{number}" for number in range(6)]
    assert [example.images[0].name for example in examples] == [f"gqa image n{number // 2}" for number in range(6)]
    assert [example.images[0].open().getpixel((0, 0))[0] for example in examples] == [0, 0, 1, 1, 2, 2]
    assert examples[0].images[0] is examples[1].images[0]
    assert examples[0].question_type == "kind 0"


def joined(root: Path, rows: list[dict[str, Any]], images: list[dict[str, Any]], **more: Any) -> list[Example]:
    for name, content in (("questions.parquet", rows), ("images.parquet", images)):
        parquet.write_table(pyarrow.Table.from_pylist(content), root / name)
    table = ImageTable(dataset="images.parquet", **more)
    return read(root, "questions.parquet", columns=VqaColumns(image="imageId"), image_table=table)


def asked(*names: object) -> list[dict[str, Any]]:
    return [{"imageId": name, "question": "What?", "answer": "a"} for name in names]


def test_images_are_joined_by_number_and_by_text(tmp_path: Path) -> None:
    examples = joined(
        tmp_path, asked("7", None, "8"), [{"id": 8, "image": picture_bytes(8)}, {"id": 7, "image": picture_bytes(7)}]
    )
    assert [[image.open().getpixel((0, 0))[0] for image in example.images] for example in examples] == [[7], [], [8]]


def test_every_fault_of_a_joined_table_is_named(tmp_path: Path) -> None:
    images = [{"id": name, "image": stored} for name, stored in
              (("a", picture_bytes(1)), ("b", None), ("a", picture_bytes(2)), (None, picture_bytes(3)))]  # fmt: skip
    with pytest.raises(DataError) as caught:
        joined(tmp_path, asked("a", "b", "c", "c"), images)
    assert caught.value.message.startswith("questions.parquet:")
    assert "two images of one id: 1 row (image table row 3: a, as row 1)" in caught.value.message
    assert "the image's bytes are not stored: 1 row (image table row 2: b)" in caught.value.message
    assert "no id: 1 row (image table row 4)" in caught.value.message
    assert "image not in the image table: 2 rows (row 3: c, row 4: c)" in caught.value.message


def test_tables_that_cannot_be_joined(tmp_path: Path) -> None:
    images = [{"id": "a", "image": picture_bytes(1)}]
    with pytest.raises(DataError, match="image table: no column `key`; the columns are id, image"):
        joined(tmp_path, asked("a"), images, id="key")
    with pytest.raises(DataError, match="image table: column `id` holds string, not stored images"):
        joined(tmp_path, asked("a"), images, image="id")
    with pytest.raises(DataError, match="column `imageId` holds double, not names"):
        joined(tmp_path, asked(1.5), images)
    with pytest.raises(DataError, match=r"`config: images` names a folder below it"):
        read(tmp_path, "images.parquet", config="images")
    with pytest.raises(ValueError, match="the questions' own table"):
        VqaParquet(kind="vqa_parquet", dataset="images.parquet", image_table=ImageTable())


def test_a_configuration_is_a_folder(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "small" / "train-00000-of-00001.parquet", vqa_rows(1))
    write_parquet(tmp_path / "d" / "large" / "train" / "0000.parquet", vqa_rows(3))
    assert len(read(tmp_path, "d", config="small")) == 2
    assert len(read(tmp_path, "d", config="large")) == 6
    with pytest.raises(DataError, match="no folder `larg` with parquet files") as caught:
        read(tmp_path, "d", config="larg")
    assert "did you mean `large`?" in caught.value.hint


def test_the_hub_is_asked_for_configuration_and_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def load(name: str, config: str | None, **options: Any) -> datasets.Dataset:
        calls.append((name, config, options["split"], options["revision"]))
        content = asked("a") if len(calls) == 1 else [{"id": "a", "image": picture_bytes(1)}]
        return datasets.Dataset.from_list(content)

    monkeypatch.setattr(datasets, "load_dataset", load)
    more = {"config": "questions", "split": "testdev", "revision": "v2", "columns": VqaColumns(image="imageId")}
    (example,) = read(tmp_path, "owner/gqa", image_table=ImageTable(config="images"), **more)
    assert len(example.images) == 1
    assert calls == [("owner/gqa", "questions", "testdev", "v2"), ("owner/gqa", "images", "testdev", "v2")]


@pytest.mark.parametrize("images", [None, ImageTable(config="images", id="key"), ImageTable(dataset="other.parquet")])
def test_stand_ins_are_read_back(tmp_path: Path, images: ImageTable | None) -> None:
    columns = VqaColumns(id="id", image="shown", answers="all", question_type="types.detailed")
    spec = VqaParquet(
        kind="vqa_parquet",
        dataset="owner/name",
        config="questions",
        split="testdev",
        columns=columns,
        image_table=images,
    )
    assert write_vqa_parquet(spec, tmp_path, range(1, 4), pictures=True) == 6
    examples = read_source(spec, tmp_path)
    assert len(examples) == 6
    assert len({image for example in examples for image in example.images}) == (3 if images else 6)
    assert all(example.images[0].open().size == (64, 48) for example in examples)
    write_vqa_parquet(spec, tmp_path, range(1, 4), pictures=False)
    assert all(example.images == () for example in read_source(spec, tmp_path))


def test_two_sets_of_stand_ins_may_share_a_table_of_images(tmp_path: Path) -> None:
    first, second = (
        VqaParquet(
            kind="vqa_parquet", dataset="gqa", config=config, image_table=ImageTable(config="images"),
            columns=VqaColumns(image="imageId"),
        )
        for config in ("easy", "hard")
    )  # fmt: skip
    for spec, numbers in ((first, range(1, 4)), (second, range(3, 6))):
        write_vqa_parquet(spec, tmp_path, numbers, pictures=True)
    for spec in (first, second):
        assert all(len(example.images) == 1 for example in read_source(spec, tmp_path))


def test_a_rehearsal_joins_stand_ins(tmp_path: Path) -> None:
    outside = {"dataset": str(tmp_path / "elsewhere" / "images.parquet"), "split": "images"}
    source = {"kind": "vqa_parquet", "dataset": "gqa", "config": "questions", "columns": {"image": "imageId"}}
    plan = recipe({"train": [{**source, "image_table": outside}]})
    data_root, folder = tmp_path / "data", tmp_path / "rehearsal"
    stand_ins = write_stand_ins(plan, data_root, folder, Places(data_root), pictures=True)
    sets, _ = read_all(plan.model_copy(update={"data": stand_ins.data}), folder)
    assert sets.train
    assert all(len(example.images) == 1 for example in sets.train)
    assert {path.name for path in tmp_path.iterdir()} == {"rehearsal"}


def test_stand_ins_of_one_file(tmp_path: Path) -> None:
    spec = VqaParquet(kind="vqa_parquet", dataset="sub/a.parquet", split="test")
    write_vqa_parquet(spec, tmp_path, range(1, 4), pictures=True)
    assert (tmp_path / "sub" / "a.parquet").is_file()
    assert len(read_source(spec, tmp_path)) == 6
    joined = spec.model_copy(update={"image_table": ImageTable(config="images")})
    write_vqa_parquet(joined, tmp_path, range(1, 4), pictures=True)
    with pytest.raises(DataError, match="`config: images` names a folder below it"):
        read_source(joined, tmp_path)


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


def test_the_only_split_is_not_taken_for_another(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "testdev-00000-of-00001.parquet", vqa_rows(1))
    with pytest.raises(DataError, match="named after the split `train`"):
        read(tmp_path, "d")
    write_parquet(tmp_path / "unnamed" / "part-0.parquet", vqa_rows(1))
    assert len(read(tmp_path, "unnamed")) == 2


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
