"""What real JSON files do, and what a person is told when one cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from data_files import (
    IMAGES,
    conversation_rows,
    picture_bytes,
    vqa_rows,
    write_json,
    write_pictures,
    write_plain_parquet,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from finesight.data.sources.read import read_source
from finesight.errors import DataError
from finesight.recipe.sources import LlavaJson, VqaColumns, VqaJson
from finesight.schema import Example


def read_vqa(root: Path, rows: object, **more: Any) -> list[Example]:
    write_json(root / "rows.json", rows)
    return read_source(VqaJson(kind="vqa_json", file="rows.json", images=IMAGES, **more), root)


def read_llava(root: Path, rows: object, images: str = IMAGES) -> list[Example]:
    write_json(root / "talk.json", rows)
    return read_source(LlavaJson(kind="llava_json", file="talk.json", images=images), root)


def fault_of(root: Path, rows: object, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_vqa(root, rows, **more)
    assert "rows.json" in caught.value.message
    return caught.value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 3)
    return tmp_path


def test_a_byte_order_mark_and_blank_lines_are_read_over(root: Path) -> None:
    lines = "\n\n".join(json.dumps(row) for row in vqa_rows(2)) + "\n \n"
    (root / "rows.jsonl").write_text("\ufeff" + lines, encoding="utf-8")
    examples = read_source(VqaJson(kind="vqa_json", file="rows.jsonl", images=IMAGES), root)
    assert [example.id for example in examples] == ["rows:1", "rows:3", "rows:5", "rows:7"]


def test_line_separators_inside_text_do_not_end_a_line(root: Path) -> None:
    row = {"image": "0.png", "question": "a\u2028b?", "answer": "c\x0cd"}
    (root / "rows.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    (example,) = read_source(VqaJson(kind="vqa_json", file="rows.jsonl", images=IMAGES), root)
    assert example.question == "a\u2028b?"


@pytest.mark.parametrize(("stored", "text"), [(3, "3"), (2.5, "2.5"), (True, "true"), (0, "0"), (" no ", "no")])
def test_answers_become_text(root: Path, stored: object, text: str) -> None:
    (example,) = read_vqa(root, [{"image": "0.png", "question": "How many?", "answer": stored}])
    assert example.answer == text
    assert example.references == (text,)


def test_labels_lose_their_trailing_blanks(root: Path) -> None:
    rows = [row | {"type": kind} for row, kind in zip(vqa_rows(1), ("CLOSED ", "CLOSED"), strict=True)]
    examples = read_vqa(root, rows, columns=VqaColumns(answer_type="type"))
    assert {example.answer_type for example in examples} == {"CLOSED"}


def test_further_answers_follow_the_first_without_repetition(root: Path) -> None:
    rows = [
        {"image": "0.png", "question": "What?", "answer": "cat", "answers": ["cat", "kitten", "cat"]},
        {"image": "0.png", "question": "What?", "answer": "dog", "answers": [{"answer": "puppy"}, {"answer": "dog"}]},
    ]
    examples = read_vqa(root, rows, columns=VqaColumns(answers="answers"))
    assert [example.references for example in examples] == [("cat", "kitten"), ("dog", "puppy")]


def test_windows_separators_and_absent_images(root: Path) -> None:
    write_pictures(root, 1, folder=f"{IMAGES}/deep", first=9)
    rows = [
        {"image": "deep\\9.png", "question": "What?", "answer": "a"},
        {"image": None, "question": "What is two and two?", "answer": 4},
    ]
    with_image, without = read_vqa(root, rows)
    assert with_image.images[0].open().size == (6, 4)
    assert without.images == ()
    assert without.group not in ("", with_image.group)


def test_coco_paths_are_found_by_file_name_and_by_number(tmp_path: Path) -> None:
    folder = tmp_path / "val2014"
    folder.mkdir()
    (folder / "000000000001.jpg").write_bytes(picture_bytes(1))
    (folder / "COCO_val2014_000000000002.jpg").write_bytes(picture_bytes(2))
    rows = [
        {"image": "coco/train2017/000000000001.jpg", "question": "What?", "answer": "one"},
        {"image": "coco/train2017/000000000002.jpg", "question": "What?", "answer": "two"},
        {"image": 2, "question": "What?", "answer": "two again"},
    ]
    write_json(tmp_path / "rows.json", rows)
    one, two, again = read_source(VqaJson(kind="vqa_json", file="rows.json", images="val2014"), tmp_path)
    assert one.images[0].name == "coco/train2017/000000000001.jpg"
    assert two.group == again.group != one.group


def test_coco_images_are_found_in_other_folders(tmp_path: Path) -> None:
    # The rows as LLaVA-Instruct-ru has them: one with the tag, one without, one without an image.
    write_pictures(tmp_path, 2, folder="coco/images/2014")
    for number in range(2):
        plain = tmp_path / "coco" / "images" / "2014" / f"{number}.png"
        plain.rename(plain.with_name(f"COCO_train2014_00000025346{number}.jpg"))
    rows = [
        {
            "type": "conv",
            "id": f"00000025346{number}",
            **({"image": f"coco/train2017/00000025346{number}.jpg"} if number < 2 else {}),
            "conversations": [
                {"from": "human", "value": "<image>\nЧто это?" if number == 0 else "Что это?"},
                {"from": "gpt", "value": "Кот."},
            ],
        }
        for number in range(3)
    ]
    examples = read_llava(tmp_path, rows, images="coco")
    assert [len(example.images) for example in examples] == [1, 1, 0]
    assert [image.open().getpixel((0, 0)) for example in examples for image in example.images] == [(0, 0, 7), (1, 0, 7)]
    assert {example.question for example in examples} == {"Что это?"}


def test_the_path_itself_comes_before_the_number(tmp_path: Path) -> None:
    for shade, folder in enumerate(("a", "train2017", "val2014")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "000000000007.jpg").write_bytes(picture_bytes(shade))
    write_json(tmp_path / "rows.json", [{"image": "coco/train2017/000000000007.jpg", "question": "?", "answer": "a"}])
    (example,) = read_source(VqaJson(kind="vqa_json", file="rows.json", images="."), tmp_path)
    assert example.images[0].open().getpixel((0, 0)) == (1, 0, 7)


def test_two_files_of_one_number_are_told_apart_by_nobody(root: Path) -> None:
    for folder in ("train2014", "val2017"):
        write_pictures(root, 1, folder=f"{IMAGES}/{folder}")
        (root / IMAGES / folder / "0.png").rename(root / IMAGES / folder / "COCO_000000000007.jpg")
    error = fault_of(root, [{"image": "coco/000000000007.jpg", "question": "?", "answer": "a"}])
    assert "several image files have the number: 1 row (row 1: coco/000000000007.jpg: train2014/COCO_" in error.message
    assert "give the folder of the right ones in `images`" in error.hint


def test_folders_that_are_linked_in_a_circle(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "COCO_val2014_000000000007.jpg").write_bytes(picture_bytes(7))
    (root / IMAGES / "linked").symlink_to(root / "elsewhere", target_is_directory=True)
    (root / IMAGES / "again").symlink_to(root / IMAGES, target_is_directory=True)
    (example,) = read_vqa(root, [{"image": "000000000007.jpg", "question": "?", "answer": "a"}])
    assert example.images[0].open().getpixel((0, 0)) == (7, 0, 7)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 100_000, "a/" * 2000, "a\0b", "..", "/", ".", "²"])
def test_names_that_are_no_paths_are_missing_images(root: Path, name: str) -> None:
    error = fault_of(root, [{"image": name, "question": "?", "answer": "a"}])
    assert "image file missing: 1 row (row 1: " in error.message


def test_two_names_are_never_taken_for_one_file(root: Path) -> None:
    rows = [{"image": f"{folder}/1.png", "question": "What?", "answer": "a"} for folder in ("a", "b")]
    assert "different image names lead to one file" in fault_of(root, rows).message


def test_an_entry_of_an_object_can_be_mapped(root: Path) -> None:
    row = {"image": "0.png", "question": "What?", "answer": "a", "types": {"detailed": "query "}, "a.b": "document"}
    (example,) = read_vqa(root, [row], columns=VqaColumns(question_type="types.detailed", group="a.b"))
    assert (example.question_type, example.group) == ("query", "group:document")
    error = fault_of(root, [row], columns=VqaColumns(question_type="types.structural"))
    assert "no column `types.structural`" in error.message


@pytest.mark.parametrize("meaning", ["question_type", "answer_type", "group"])
def test_a_label_that_is_no_text_is_named(root: Path, meaning: str) -> None:
    row = {"image": "0.png", "question": "What?", "answer": "a", "types": {"detailed": "query"}}
    error = fault_of(root, [row], columns=VqaColumns(**{meaning: "types"}))
    assert f"{meaning.replace('_', ' ')} is an object, not text: 1 row (row 1)" in error.message


def test_a_document_and_its_images_are_one_group(root: Path) -> None:
    rows = [
        {"image": "0.png", "question": "What?", "answer": "a", "patient": "p"},
        {"image": "1.png", "question": "What?", "answer": "b", "patient": "p"},
        {"image": "1.png", "question": "What?", "answer": "c", "patient": "q"},
        {"image": "2.png", "question": "What?", "answer": "d", "patient": "r"},
    ]
    groups = [example.group for example in read_vqa(root, rows, columns=VqaColumns(group="patient"))]
    assert groups == ["group:p", "group:p", "group:p", "group:r"]


def test_every_fault_of_a_file_is_named_at_once(root: Path) -> None:
    rows: list[object] = [
        {"image": "0.png", "question": "What?", "answer": " "},
        {"image": "0.png", "answer": "a"},
        {"image": "gone.png", "question": "What?", "answer": "a"},
        {"image": "0.png", "question": "What?", "answer": ["a", "b"]},
        {"image": "0.png", "question": "What?", "answer": float("nan")},
    ]
    error = fault_of(root, rows)
    assert "no answer: 2 rows (row 1, row 5)" in error.message
    assert "no question: 1 row (row 2)" in error.message
    assert "image file missing: 1 row (row 3: gone.png)" in error.message
    assert "answer is a list, not text: 1 row (row 4)" in error.message
    assert IMAGES in error.hint


def test_a_missing_column_is_named_with_those_that_are_there(root: Path) -> None:
    rows = [{"image_name": "0.png", "question": "What?", "answer": "a"}]
    error = fault_of(root, rows)
    assert "no column `image`" in error.message
    assert "answer, image_name, question" in error.message
    assert "did you mean `image_name`?" in error.hint


def test_ids_that_repeat_are_named(root: Path) -> None:
    rows = [row | {"qid": 7} for row in vqa_rows(1)]
    assert (
        "the id in column `qid` is not unique: 1 row (7)" in fault_of(root, rows, columns=VqaColumns(id="qid")).message
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("[]", "holds no rows"),
        ('[{"a": 1},\n {"a": }]', "line 2, column 8"),
        ('[{"a": 1}\n {"a": 2}]', "line 2, column 2"),
        ('[{"a": 1}', "bad JSON"),
        ('{"a": 1}\n{"a" 2}\n', "line 2, column 6"),
        ('{\n "rows": []\n}', "one object over several lines"),
        ('["text"]', "not an object but text: 1 row (row 1)"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_files_that_are_no_rows(root: Path, text: str, told: str) -> None:
    (root / "rows.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_source(VqaJson(kind="vqa_json", file="rows.json", images=IMAGES), root)
    assert told in caught.value.message
    assert "rows.json" in caught.value.message


def test_a_file_that_is_not_there(root: Path) -> None:
    write_json(root / "trainset.json", vqa_rows(1))
    with pytest.raises(DataError, match=r"trainse\.json: file not found") as caught:
        read_source(VqaJson(kind="vqa_json", file="trainse.json", images=IMAGES), root)
    assert "--data-root" in caught.value.hint
    assert "did you mean `trainset.json`?" in caught.value.hint


def test_a_file_that_is_not_utf8(root: Path) -> None:
    (root / "rows.json").write_bytes('[{"question": "é"}]'.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_source(VqaJson(kind="vqa_json", file="rows.json", images=IMAGES), root)


def test_a_folder_of_images_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder of images not found"):
        read_vqa(tmp_path, vqa_rows(1))


@pytest.mark.parametrize("place", ["<image>\nWhat?", "What?\n<image>", "What?"])
def test_the_image_tag_is_stripped_wherever_it_stands(root: Path, place: str) -> None:
    talk = [{"from": "human", "value": place}, {"from": "gpt", "value": "A cat."}]
    (example,) = read_llava(root, [{"id": 1, "image": "0.png", "conversations": talk}])
    assert example.question == "What?"
    assert len(example.images) == 1


def test_both_ways_of_naming_speakers(root: Path) -> None:
    talk = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "There."},
    ]
    (example,) = read_llava(root, [{"image": "0.png", "conversations": talk}])
    assert [(turn.role, turn.learned) for turn in example.turns] == [
        ("system", False), ("user", False), ("assistant", True), ("user", False), ("assistant", True),
    ]  # fmt: skip
    assert example.references == ("There.",)
    assert example.id == "talk:1"


def test_conversations_that_share_an_id_stay_apart(root: Path) -> None:
    rows = [row | {"id": "33"} for row in conversation_rows(3)]
    assert [example.id for example in read_llava(root, rows)] == ["talk:33", "talk:33:2", "talk:33:3"]


def test_images_under_another_name_are_not_passed_over(root: Path) -> None:
    rows = [{"img" if name == "image" else name: cell for name, cell in row.items()} for row in conversation_rows(2)]
    for row in rows:
        row["conversations"][0]["value"] = "What is it?"
    with pytest.raises(DataError, match="no column `image`, but `img` names images"):
        read_llava(root, rows)


def test_conversations_are_the_same_in_parquet(root: Path) -> None:
    rows = conversation_rows(3)
    write_plain_parquet(root / "talk" / "validation-00000.parquet", rows)
    spec = LlavaJson(kind="llava_json", file="talk", split="validation", images=IMAGES)
    stored = read_source(spec, root)
    assert [(each.id, each.group, each.turns) for each in stored] == [
        (each.id, each.group, each.turns) for each in read_llava(root, rows)
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "What?", "image": "0.png"}, "no column `conversations`; the columns are image, question"),
        ({"picture": {"bytes": picture_bytes(0), "path": "0.png"}}, "no column `image`, but `picture` holds images"),
        ({"image": "gone.png"}, r"image file missing: 1 row \(row 1: gone.png\)"),
        ({"image": None}, "the text says <image>, but the row names no image"),
    ],
)
def test_faults_of_conversations_in_parquet_are_named(row: dict[str, Any], told: str, root: Path) -> None:
    said = {} if "question" in row else {"conversations": conversation_rows(1)[0]["conversations"]}
    write_plain_parquet(root / "talk.parquet", [row | said])
    with pytest.raises(DataError, match=told):
        read_source(LlavaJson(kind="llava_json", file="talk.parquet", images=IMAGES), root)


def test_text_only_conversations_need_no_folder(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "That."}]
    (example,) = read_llava(tmp_path, [{"id": "t", "conversations": talk}], images="nowhere")
    assert example.images == ()


def test_text_that_asks_the_same_is_one_group(tmp_path: Path) -> None:
    def talk(*questions: str) -> dict[str, object]:
        return {
            "conversations": [
                turn
                for question in questions
                for turn in ({"from": "human", "value": question}, {"from": "gpt", "value": "That."})
            ]
        }

    rows = [talk("What is it?"), talk("what  IS it?"), talk("And what?"), talk("Hello", "What is it?")]
    groups = [example.group for example in read_llava(tmp_path, rows, images="nowhere")]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        ([{"from": "human", "value": "What?"}], "does not end with an answer"),
        ([{"from": "gpt", "value": "That."}], "do not alternate"),
        ([{"from": "human", "value": "a"}, {"from": "human", "value": "b"}], "do not alternate"),
        ([{"from": "robot", "value": "a"}], "unknown speaker 'robot'"),
        ([{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "b"}], "no question"),
        ([{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}], "no answer"),
        ([{"from": "human"}], "neither from and value nor role and content"),
        ([{"from": "human", "value": "<image> a"}, {"from": "gpt", "value": "b"}], "names no image"),
        ([], "no conversation"),
        (None, "no conversation"),
    ],
)
def test_conversations_that_cannot_be_learned(root: Path, talk: object, told: str) -> None:
    good = conversation_rows(1)[0]
    with pytest.raises(DataError) as caught:
        read_llava(root, [good, {"id": "x", "conversations": talk}])
    assert told in caught.value.message
    assert "row 2" in caught.value.message
    assert "talk.json" in caught.value.message


NAMES = st.sampled_from(["id", "image", "question", "answer", "answers", "types", "conversations", "from", "value"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["0.png", "human"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(NAMES, JSON, max_size=6), max_size=3))
def test_any_json_is_examples_or_a_message(tmp_path_factory: pytest.TempPathFactory, rows: list[object]) -> None:
    root = tmp_path_factory.getbasetemp()
    write_pictures(root, 1)
    (root / "any.json").write_text(json.dumps(rows), encoding="utf-8")
    columns = VqaColumns(id="id", answers="answers", question_type="types", group="types.id")
    for spec in (
        VqaJson(kind="vqa_json", file="any.json", images=IMAGES, columns=columns),
        VqaJson(kind="vqa_json", file="any.json", images=IMAGES),
        LlavaJson(kind="llava_json", file="any.json", images=IMAGES),
    ):
        try:
            examples = read_source(spec, root)
        except DataError as error:
            assert "any.json" in error.message
        else:
            assert len(examples) == len(rows)
