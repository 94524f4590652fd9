"""A recipe for a folder that nobody has described."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml
from data_files import (
    conversation_rows,
    vqa_rows,
    write_joined,
    write_json,
    write_lines,
    write_parquet,
    write_pictures,
    write_table,
)

from finesight.data.describe import describe_folder
from finesight.data.sets import read_all
from finesight.data.write_recipe import FILL_IN, recipe_text
from finesight.errors import DataError
from finesight.recipe.recipe import Recipe
from finesight.recipe.sources import VqaColumns, VqaCsv, VqaJson


def recipe_for(folder: Path) -> tuple[Recipe, str]:
    text = recipe_text(describe_folder(folder), "mine")
    return Recipe.model_validate(yaml.safe_load(text)), text


def test_columns_and_images_are_found_whatever_they_are_called(tmp_path: Path) -> None:
    write_pictures(tmp_path, 20, folder="files/pictures of all")
    rows = [
        {"Img-Path": row["image"], "Query": row["question"], "response": row["answer"], "uid": number, "qType": "what"}
        for number, row in enumerate(vqa_rows(20))
    ]
    write_lines(tmp_path / "all.jsonl", rows)
    (found,) = describe_folder(tmp_path).sources
    assert (found.kind, found.file, found.images, found.rows) == ("vqa_json", "all.jsonl", "files/pictures of all", 40)
    assert len(found.image_files) == 20
    assert found.columns == {
        "id": "uid", "image": "Img-Path", "question": "Query", "answer": "response", "question_type": "qType",
    }  # fmt: skip
    recipe, _ = recipe_for(tmp_path)
    sets, _ = read_all(recipe, tmp_path)
    assert len(sets.train) == 32


def test_columns_are_known_by_what_they_hold(tmp_path: Path) -> None:
    write_pictures(tmp_path, 5, folder=".")
    write_json(tmp_path / "a.json", [{"x": r["image"], "y": r["question"], "answer": "b"} for r in vqa_rows(5)])
    (found,) = describe_folder(tmp_path).sources
    assert found.columns == {"image": "x", "question": "y"}


@pytest.mark.parametrize(
    "column",
    ["gold", "ground_truth", "Ground Truth", "label", "target", "response", "output", "correct_answer", "wert"],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_the_answer_is_found_whatever_it_is_called(tmp_path: Path, column: str, suffix: str) -> None:
    write_pictures(tmp_path, 10)
    rows = [{"image": row["image"], "question": row["question"], column: row["answer"]} for row in vqa_rows(10)]
    (write_lines if suffix == ".jsonl" else write_table)(tmp_path / f"all{suffix}", rows)
    recipe, _ = recipe_for(tmp_path)
    (source,) = recipe.data.train
    assert isinstance(source, VqaJson if suffix == ".jsonl" else VqaCsv)
    assert source.columns == VqaColumns(answer=column)
    assert source.images == "pictures"
    assert len(read_all(recipe, tmp_path)[0].train) == 16


def test_lists_in_a_table_are_further_answers(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    rows = [row | {"": number, "references": '["a", "b"]'} for number, row in enumerate(vqa_rows(2))]
    write_table(tmp_path / "rows.csv", rows)
    (found,) = describe_folder(tmp_path).sources
    assert (found.kind, found.columns) == ("vqa_csv", {"answers": "references"})


def test_a_column_that_cannot_be_told_is_left_to_fill_in(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    rows = [
        {"image": row["image"], "question": row["question"], "one": row["answer"], "other": "b"} for row in vqa_rows(10)
    ]
    write_table(tmp_path / "rows.csv", rows)
    recipe, text = recipe_for(tmp_path)
    assert "rows.csv: 20 rows, 10 images in pictures; its column for the answer could not be told" in text
    assert "# Which of these is the answer: image, question, one, other?" in text
    assert recipe.data.train[0].columns == VqaColumns(answer=FILL_IN)
    with pytest.raises(
        DataError, match=f"no column `{FILL_IN}` for the answer; the columns are image, one, other"
    ) as e:
        read_all(recipe, tmp_path)
    assert "columns.answer" in e.value.hint
    filled, _ = read_all(Recipe.model_validate(yaml.safe_load(text.replace(f": {FILL_IN}", ": one"))), tmp_path)
    assert len(filled.train) == 16


def test_what_cannot_be_told_does_not_stand_beside_what_can(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    write_json(tmp_path / "rows.json", vqa_rows(10))
    rows = [{"image": row["image"], "question": row["question"], "one": "a", "other": "b"} for row in vqa_rows(10)]
    write_table(tmp_path / "more.csv", rows)
    recipe, text = recipe_for(tmp_path)
    assert [source.kind for source in recipe.data.train] == ["vqa_json"]
    assert "more.csv (no column for the answer (the columns are image, question, one, other))" in text
    assert FILL_IN not in text


def test_parquet_that_only_names_images_is_passed_over(tmp_path: Path) -> None:
    write_joined(tmp_path / "gqa", 2)
    with pytest.raises(DataError, match=r"column `imageId` only names images; .* image_table"):
        describe_folder(tmp_path)


def test_a_table_with_images_in_base64_is_passed_over(tmp_path: Path) -> None:
    """As MMBench is published: its images are no names, and far too long for any."""
    write_pictures(tmp_path, 10)
    write_json(tmp_path / "train.json", vqa_rows(10))
    picture = base64.b64encode(bytes(6000)).decode()
    write_table(
        tmp_path / "bench.tsv", [{"image": picture, "question": "What?", "A": "one", "B": "two", "answer": "A"}]
    )
    findings = describe_folder(tmp_path)
    assert [source.file for source in findings.sources] == ["train.json"]
    ((file, reason),) = findings.passed_over
    assert file == "bench.tsv"
    assert "base64" in reason and "multiple_choice" in reason


def test_a_column_whose_values_repeat_is_no_id(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    write_json(tmp_path / "a.json", [row | {"id": row["image"]} for row in vqa_rows(2)])
    assert describe_folder(tmp_path).sources[0].columns == {}
    many = [row | {"id": number % 300} for number, row in enumerate(vqa_rows(200))]
    write_parquet(tmp_path / "b.parquet", many)
    assert describe_folder(tmp_path).sources[1].columns == {}


def test_every_kind_becomes_a_recipe_that_reads(tmp_path: Path) -> None:
    write_pictures(tmp_path, 40)
    write_json(tmp_path / "talk.json", conversation_rows(30))
    write_json(tmp_path / "rows.json", vqa_rows(30))
    write_parquet(tmp_path / "rows.parquet", vqa_rows(30))
    recipe, text = recipe_for(tmp_path)
    assert [source.kind for source in recipe.data.train] == ["vqa_json", "vqa_parquet", "llava_json"]
    assert "rows.json: 60 rows, 30 images in pictures" in text
    sets, data = read_all(recipe, tmp_path)
    assert data["leaks"] == []
    assert len(sets.train) + len(sets.validation) + len(sets.test) == 150


def test_files_named_after_sets_become_them(tmp_path: Path) -> None:
    write_pictures(tmp_path, 30)
    for place, name in enumerate(("train", "val", "test")):
        write_json(tmp_path / f"questions_{name}.json", vqa_rows(10, first=10 * place))
    recipe, _ = recipe_for(tmp_path)
    files = [[source.file for source in part] for part in (recipe.data.train, recipe.data.validation, recipe.data.test)]
    assert files == [["questions_train.json"], ["questions_val.json"], ["questions_test.json"]]


def test_a_test_file_that_shows_training_images_is_divided_anew(tmp_path: Path) -> None:
    write_pictures(tmp_path, 10)
    write_json(tmp_path / "train.json", vqa_rows(10))
    write_json(tmp_path / "test.json", vqa_rows(4))
    recipe, text = recipe_for(tmp_path)
    assert recipe.data.test == ()
    assert len(recipe.data.train) == 2
    assert "test.json shows 4 images of the training files" in text


def test_comments_are_the_fields_own_help(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    write_json(tmp_path / "a.json", vqa_rows(2))
    _, text = recipe_for(tmp_path)
    assert VqaJson.model_fields["images"].description in text


@pytest.mark.parametrize("column", ["yes", "null", "12", "a: b", "# c", "1e5", "é", "with blank", '"'])
def test_awkward_names_survive(tmp_path: Path, column: str) -> None:
    write_pictures(tmp_path, 2)
    write_json(tmp_path / "a.json", [{"image": r["image"], column: r["question"], "answer": "b"} for r in vqa_rows(2)])
    recipe, _ = recipe_for(tmp_path)
    (source,) = recipe.data.train
    assert isinstance(source, VqaJson)
    assert source.columns == VqaColumns(question=column)


def test_missing_images_are_counted(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    write_json(tmp_path / "a.json", vqa_rows(5))
    assert describe_folder(tmp_path).sources[0].rows_without_image_file == 4
    assert "4 rows name an image that was not found" in recipe_for(tmp_path)[1]


def test_a_folder_without_data_says_what_was_passed_over(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"a": 1})
    write_json(tmp_path / "captions.json", [{"image": "a.png", "words": "b"}])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError) as caught:
        describe_folder(tmp_path)
    assert (
        "captions.json: no column for the question or the answer (the columns are image, words)" in caught.value.message
    )
    assert "broken.json: bad JSON" in caught.value.message
    with pytest.raises(DataError, match="no such folder"):
        describe_folder(tmp_path / "nowhere")


def test_the_real_folder(vqa_rad: Path) -> None:
    folder = vqa_rad / "data_RAD"
    recipe, text = recipe_for(folder)
    assert "testset.json shows 203 images of the training files" in text
    sets, data = read_all(recipe, folder)
    assert data["leaks"] == []
    assert len(sets.train) + len(sets.validation) + len(sets.test) == 3515
