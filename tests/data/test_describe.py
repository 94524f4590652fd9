"""A recipe for a folder that nobody has described."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from data_files import conversation_rows, vqa_rows, write_json, write_lines, write_parquet, write_pictures

from finesight.data.describe import describe_folder
from finesight.data.sets import read_all
from finesight.data.write_recipe import recipe_text
from finesight.errors import DataError
from finesight.recipe.data import VqaColumns, VqaJson
from finesight.recipe.recipe import Recipe


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
