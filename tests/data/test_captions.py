"""Captions, of images and of drawings: what is asked, what counts as right, and which faults are told."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from data_files import IMAGES, coco_document, drawing, recipe, write_json, write_lines, write_pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finesight.data.sets import read_all
from finesight.data.sources.read import read_source
from finesight.data.standins.places import Places
from finesight.data.standins.write import write_stand_ins
from finesight.errors import DataError, UserError
from finesight.recipe.sources import AnySource
from finesight.schema import Example, Turn
from finesight.train.checks.data import check_data

COCO: dict[str, Any] = {"kind": "coco_captions", "file": "captions.json", "images": IMAGES}
DRAWINGS: dict[str, Any] = {"kind": "svg_captions", "file": "drawings.json"}
REPORTED = "style=fill:rgb(3, 84, 76);stroke:null;stroke-width:1;opacity:1 d=M11,471 A14,28,0,1,0,40,471 L90,400"
TIDY = "style=fill:3,84,76;stroke:None;stroke-width:1;opacity:1\td=M11,471 A14,28,0,1,0,40,471 L90,400"
LETTER = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512"><text x="9" y="400">{}</text></svg>'
MANY_BYTES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def spec_of(words: dict[str, Any]) -> AnySource:
    spec: AnySource = TypeAdapter(AnySource).validate_python(words)
    return spec


def read(words: dict[str, Any], root: Path) -> list[Example]:
    return read_source(spec_of(words), root)


def read_coco(root: Path, document: object, **more: Any) -> list[Example]:
    write_json(root / "captions.json", document)
    write_pictures(root, 4)
    return read(COCO | more, root)


def read_drawings(root: Path, rows: Sequence[Any], **more: Any) -> list[Example]:
    write_json(root / "drawings.json", rows)
    return read(DRAWINGS | more, root)


def refused(act: Callable[[], object]) -> DataError:
    with pytest.raises(DataError) as caught:
        act()
    return caught.value


# Captions of images.


def test_all_captions_of_an_image_are_right_and_each_is_learned(tmp_path: Path) -> None:
    first, second, *others = read_coco(tmp_path, coco_document(images=2, captions=3), question="What is there?")
    assert len(others) == 4
    assert first.turns == (Turn("user", "What is there?"), Turn("assistant", "Caption 0 of 0.", learned=True))
    assert (first.id, second.id) == ("captions:0", "captions:1")
    assert first.references == ("Caption 0 of 0.", "Caption 1 of 0.", "Caption 2 of 0.")
    assert second.references == ("Caption 1 of 0.", "Caption 0 of 0.", "Caption 2 of 0.")
    assert first.images == second.images
    assert first.images[0].name == "0.png"
    assert first.group == second.group != others[-1].group


def test_images_without_captions_are_neither_asked_about_nor_looked_for(tmp_path: Path) -> None:
    document = coco_document(images=2, captions=1)
    document["images"].append({"id": 7, "file_name": "nowhere.png"})
    assert [example.images[0].name for example in read_coco(tmp_path, document)] == ["0.png", "1.png"]


def test_a_caption_is_one_line(tmp_path: Path) -> None:
    document = coco_document(images=1, captions=1)
    document["annotations"][0]["caption"] = " A cat\r\nand\u2028two\u00a0dogs. "
    assert read_coco(tmp_path, document)[0].answer == "A cat and two dogs."


def test_annotations_without_ids_are_numbered_and_ids_may_be_text(tmp_path: Path) -> None:
    document = {
        "images": [{"id": "a", "file_name": "0.png"}],
        "annotations": [{"image_id": "a", "caption": "One."}, {"image_id": "a", "caption": "One."}],
    }
    examples = read_coco(tmp_path, document)
    assert [example.id for example in examples] == ["captions:1", "captions:2"]
    assert {example.references for example in examples} == {("One.",)}


def test_all_faults_of_a_captions_file_are_told_at_once(tmp_path: Path) -> None:
    document = coco_document(images=3, captions=2)
    document["images"] += [{"id": 102, "file_name": "2.png"}, {"id": 103}, "x", {"file_name": "3.png"}]
    document["images"][1]["file_name"] = "gone.png"
    document["annotations"] += [
        {"id": 90, "image_id": 999, "caption": "Of what?"},
        {"id": 91, "image_id": 103, "caption": "Which?"},
        {"id": 0, "image_id": 100, "caption": "Again."},
        {"id": 92, "image_id": 100, "caption": " "},
        {"image_id": 100, "caption": "Nameless."},
    ]
    told = refused(lambda: read_coco(tmp_path, document)).message.splitlines()
    assert told[0] == f"{tmp_path / 'captions.json'}:"
    assert set(map(str.strip, told[1:])) == {
        "several images have one id: 1 row (image 3 and image 4: 102)",
        "not an object but text: 1 row (image 6)",
        "no id: 2 rows (image 7, annotation 11)",
        "a caption of an image that `images` does not list: 1 row (annotation 7: image_id 999)",
        "no file_name: 1 row (image 5)",
        "several annotations have one id: 1 row (annotation 9: 0)",
        "no caption: 1 row (annotation 10)",
        "image file missing: 1 row (image 2: gone.png)",
    }


@pytest.mark.parametrize(
    ("document", "told", "hint"),
    [
        ([{"question": "What?"}], "a list, not an object of images and annotations", "vqa_json"),
        ("captions", "text, not an object of images and annotations", ""),
        ({"image": [], "annotations": []}, "no `images`; there is annotations, image", "did you mean `image`?"),
        ({"images": {}, "annotations": []}, "`images` is an object, not a list", ""),
        ({"images": [], "annotations": []}, "no captions: `annotations` is empty", ""),
        (
            {"images": [], "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4]}]},
            "no annotation has a `caption`; they have bbox, id, image_id",
            "captions_…json",
        ),
        ({"images": [], "annotations": [{"captions": "x"}]}, "no annotation has a `caption`", "`captions`"),
    ],
)
def test_json_of_another_form_is_told_from_captions(tmp_path: Path, document: object, told: str, hint: str) -> None:
    error = refused(lambda: read_coco(tmp_path, document))
    assert told in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "bad JSON: line 1, column 1"),
        (b'{"images": [}', "bad JSON: line 1, column 13"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "a number of too many digits"),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "captions.json").write_bytes(content)
    assert told in refused(lambda: read(COCO, tmp_path)).message


def test_a_missing_captions_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    write_json(tmp_path / "caption.json", {})
    assert "did you mean `caption.json`?" in refused(lambda: read(COCO, tmp_path)).hint


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["images", "annotations", "id", "image_id", "file_name", "caption"]), inner)
    ),
)


@MANY_BYTES
@given(content=st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_file_is_read_or_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "captions.json").write_bytes(content)
    (tmp_path / IMAGES).mkdir(exist_ok=True)
    assert refused(lambda: read(COCO, tmp_path)).message.startswith(str(tmp_path))


# What has several right answers is asked once.


def captions_in_sets(root: Path, **data: Any) -> dict[str, Any]:
    write_pictures(root, 30)
    write_json(root / "captions.json", coco_document(images=30, captions=5))
    return {"train": [COCO], **data}


def test_what_has_several_right_answers_is_learned_from_often_and_asked_once(tmp_path: Path) -> None:
    words = captions_in_sets(tmp_path, split={"validation": 0.1, "test": 0.2})
    sets, told = read_all(recipe(words), tmp_path)
    (task,) = sets.tasks
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (105, 15, 30)
    assert (len(task.examples), task.repeats) == (6, 24)
    assert len({example.group for example in task.examples}) == 6
    assert told["asked_once"] == {"held_out": 24}
    first = next(iter(check_data(recipe(words), sets, [])))
    assert "held_out (6; 24 more ask the same, with the same right answers)" in first.message


def test_samples_of_a_task_are_questions(tmp_path: Path) -> None:
    words = captions_in_sets(tmp_path, split={"validation": 0.1, "test": 0.2})
    sets, _ = read_all(recipe(words, [{"name": "held_out", "from": "test", "max_samples": 4}]), tmp_path)
    assert len({example.group for example in sets.tasks[0].examples}) == 4
    assert sets.tasks[0].repeats == 16


def test_a_tasks_own_source_is_asked_once_too(tmp_path: Path) -> None:
    write_pictures(tmp_path, 30, "other", first=50)
    document = coco_document(images=2, captions=5)
    document["images"] = [{"id": 100 + image, "file_name": f"{50 + image}.png"} for image in range(2)]
    write_json(tmp_path / "other.json", document)
    task = {"name": "others", "kind": "coco_captions", "file": "other.json", "images": "other"}
    sets, told = read_all(recipe(captions_in_sets(tmp_path), [{"name": "held_out", "from": "test"}, task]), tmp_path)
    assert (len(sets.tasks[1].examples), sets.tasks[1].repeats) == (2, 8)
    assert told["asked_once"]["others"] == 8


def test_samples_of_a_tasks_own_source_are_questions(tmp_path: Path) -> None:
    """Of a task with captions of its own, `max_samples` counts images, and all their captions go with them."""
    words = captions_in_sets(tmp_path, split={"validation": 0.1, "test": 0.2})
    words["train"] = [COCO | {"max_samples": 100}]
    tasks = [{"name": "held_out", "from": "test"}, COCO | {"name": "general", "role": "forgetting", "max_samples": 7}]
    sets, told = read_all(recipe(words, tasks), tmp_path)
    assert (len(sets.tasks[1].examples), sets.tasks[1].repeats) == (7, 28)
    asked = {example.group for example in sets.tasks[1].examples}
    assert len(asked) == 7
    assert not asked & {example.group for example in (*sets.train, *sets.validation, *sets.test)}
    assert told["asked_once"]["general"] == 28
    assert told["leaks"] == []


def test_what_has_one_right_answer_is_asked_as_often_as_it_stands(tmp_path: Path) -> None:
    document = coco_document(images=30, captions=3)
    for annotation in document["annotations"]:
        annotation["caption"] = f"Image {annotation['image_id']}."
    write_pictures(tmp_path, 30)
    write_json(tmp_path / "captions.json", document)
    sets, told = read_all(recipe({"train": [COCO]}), tmp_path)
    assert len(sets.tasks[0].examples) == len(sets.test) == 9
    assert told["asked_once"] == {}


# Captions of drawings.


def test_drawings_are_read_as_text_whatever_their_form(tmp_path: Path) -> None:
    rows = [{"xml": REPORTED, "caption": "A leaf."}, {"xml": drawing(1), "caption": ["A disc.", "Red."]}]
    leaf, disc, red = read_drawings(tmp_path, rows, question="What is drawn?")
    assert (leaf.context, leaf.question, leaf.answer) == (TIDY, "What is drawn?", "A leaf.")
    assert disc.context.startswith("style=fill:255,0,0;stroke:None;stroke-width:1;opacity:1\td=M")
    assert (disc.context, disc.group, disc.images) == (red.context, red.group, ())
    assert (disc.references, red.references) == (("A disc.", "Red."), ("Red.", "A disc."))
    assert [example.id for example in (leaf, disc, red)] == ["drawings:1", "drawings:2-1", "drawings:2-2"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_rows_may_stand_in_lines_and_tables(tmp_path: Path, suffix: str) -> None:
    rows = [{"xml": TIDY, "caption": "A leaf."}, {"xml": drawing(1), "caption": '["A disc.", "Red."]'}]
    file = tmp_path / f"rows{suffix}"
    if suffix == ".jsonl":
        write_lines(file, [rows[0], {**rows[1], "caption": ["A disc.", "Red."]}])
    else:
        with file.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    examples = read(DRAWINGS | {"file": file.name}, tmp_path)
    assert [example.answer for example in examples] == ["A leaf.", "A disc.", "Red."]
    assert examples[0].context == TIDY


def test_drawings_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "all" / "colour").mkdir(parents=True)
    for number in (1, 2):
        (tmp_path / "all" / "colour" / f"{number}.svg").write_text(drawing(number), encoding="utf-8")
    rows = [{"kind": "colour", "number": number, "caption": f"Disc {number}."} for number in (1, 2)]
    files = {"xml": None, "folder": "all", "file_name": "{kind}\\{number}.svg"}
    read_as_text = read_drawings(tmp_path, rows, **files)
    seen = read_drawings(tmp_path, rows, **files, context="image", image_size=24)
    assert [example.answer for example in read_as_text] == ["Disc 1.", "Disc 2."]
    assert [example.group for example in read_as_text] == [example.group for example in seen]
    assert [example.images[0].name for example in seen] == ["colour/1.svg", "colour/2.svg"]
    assert seen[0].images[0].open().size == (24, 24)
    assert all(example.context == "" for example in seen)


@pytest.mark.parametrize("context", ["svg", "image"])
def test_equal_drawings_are_one_group_however_they_are_written(tmp_path: Path, context: str) -> None:
    rewritten = drawing(1).replace('fill="red"', 'style="fill:#f00"').replace("<circle", "<g><circle").replace(
        "</svg>", "</g></svg>"
    )  # fmt: skip
    as_text = read_drawings(tmp_path, [{"xml": drawing(1), "caption": "x"}])[0].context
    rows = [{"xml": xml, "caption": "A disc."} for xml in (drawing(1), rewritten, as_text, drawing(2))]
    one, two, three, other = read_drawings(tmp_path, rows, context=context, image_size=32)
    assert one.group == two.group == three.group != other.group
    shown = [example.context or example.images[0].content_hash() for example in (one, two, three, other)]
    assert shown[0] == shown[1] == shown[2] != shown[3]


def test_pictures_that_differ_in_what_the_text_cannot_say_are_different_pictures(tmp_path: Path) -> None:
    lettered = [drawing(1).replace("</svg>", f"<text x='9' y='400'>{letter}</text></svg>") for letter in "AB"]
    rows = [{"xml": xml, "caption": "A disc."} for xml in lettered]
    a, b = read_drawings(tmp_path, rows, context="image", image_size=32)
    assert a.images[0].content_hash() != b.images[0].content_hash()
    assert a.group == b.group


def test_a_picture_of_another_size_is_another_picture(tmp_path: Path) -> None:
    rows = [{"xml": drawing(1), "caption": "A disc."}]
    small, large = (read_drawings(tmp_path, rows, context="image", image_size=size)[0] for size in (32, 64))
    assert small.images[0].content_hash() != large.images[0].content_hash()


def test_what_only_a_picture_shows_needs_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"xml": LETTER.format("A"), "caption": "A."}, {"xml": LETTER.format("B"), "caption": "B."}]
    a, b = read_drawings(tmp_path, rows, context="image")
    assert a.group != b.group
    error = refused(lambda: read_drawings(tmp_path, rows))
    assert "row 1: xml: no line and no area of it can be seen" in error.message
    read_drawings(tmp_path, [{"xml": drawing(1).replace("</svg>", "<text>A</text></svg>"), "caption": "A."}])
    assert "drawings.json: path-a-line text cannot say: text (drawings: 1)" in capsys.readouterr().err


def test_all_faults_of_drawings_are_told_at_once(tmp_path: Path) -> None:
    entity = '<!DOCTYPE svg [<!ENTITY x "y">]><svg xmlns="http://www.w3.org/2000/svg"/>'
    rows = [
        {"xml": drawing(1), "caption": "Fine."},
        {"xml": entity, "caption": "Bad."},
        {"xml": f"{TIDY}\na red leaf", "caption": "Bad."},
        {"xml": '<svg xmlns="http://www.w3.org/2000/svg"/>', "caption": "Nothing."},
        {"xml": drawing(2), "caption": []},
        {"caption": "No drawing."},
        {"xml": [1], "caption": "No drawing."},
    ]
    told = refused(lambda: read_drawings(tmp_path, rows)).message
    for fault in (
        "row 2: xml:1: declares an entity",
        "row 3: xml:2: not a path",
        "row 4: xml: no line and no area of it can be seen",
        "no caption: 1 row (row 5)",
        "no drawing: 1 row (row 6)",
        "drawing is a list, not text: 1 row (row 7)",
    ):
        assert fault in told


def test_faults_of_files_are_told_with_row_and_file(tmp_path: Path) -> None:
    (tmp_path / "1.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><g></svg>', encoding="utf-8")
    (tmp_path / "2.svg").write_bytes(b"\x1f\x8b")
    rows: list[dict[str, Any]] = [{"file": f"{name}.svg", "caption": "x"} for name in (1, 2, 3, "4" * 300)]
    rows.append({"caption": "x"})
    told = refused(lambda: read_drawings(tmp_path, rows, xml=None)).message
    assert "row 1: 1.svg:1: not well-formed" in told
    assert "row 2: " in told and "2.svg: compressed" in told
    assert "file of a drawing missing: 2 rows (row 3: 3.svg, row 4: 444" in told
    assert "no file, which file_name needs: 1 row (row 5)" in told


def test_columns_that_are_not_there_are_named_once(tmp_path: Path) -> None:
    rows = [{"svg": drawing(1), "text": "x"}] * 3
    error = refused(lambda: read_drawings(tmp_path, rows))
    assert "no column `xml`; the columns are svg, text" in error.message
    assert "no column `caption`; the columns are svg, text" in error.message
    assert "map it in the recipe: caption" in error.hint
    assert "give xml: null and file_name" in error.hint
    assert len(read_drawings(tmp_path, rows, xml="svg", caption="text")) == 3


def test_a_missing_folder_of_drawings_is_named(tmp_path: Path) -> None:
    rows = [{"file": "1.svg", "caption": "x"}]
    error = refused(lambda: read_drawings(tmp_path, rows, xml=None, folder="drawn"))
    assert "folder of drawings not found" in error.message


@pytest.mark.parametrize("file_name", ["drawing.svg", "../{file}", "/{file}", "a\\..\\{file}", ""])
def test_file_names_must_tell_drawings_apart_and_lie_in_the_folder(file_name: str) -> None:
    with pytest.raises(ValidationError, match="file_name"):
        spec_of(DRAWINGS | {"xml": None, "file_name": file_name})


@MANY_BYTES
@given(text=st.text(st.characters(exclude_categories=())) | st.text("<svg /style=d:;,0M\t\n"))
def test_any_text_is_a_drawing_or_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "drawings.json").write_text(json.dumps([{"xml": text, "caption": "x"}]), encoding="utf-8")
    assert "row 1" in refused(lambda: read(DRAWINGS, tmp_path)).message


@MANY_BYTES
@given(content=st.binary())
def test_any_file_is_a_drawing_or_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.svg").write_bytes(content)
    told = refused(lambda: read_drawings(tmp_path, [{"file": "1.svg", "caption": "x"}], xml=None)).message
    assert "row 1: " in told and "1.svg" in told


# Names in other languages.


def write_names(root: Path, file: str, language: str, names: dict[str, Any], section: str = "annotations") -> str:
    write_json(root / file, {section: {"identity": {"language": language}, "annotations": names}})
    return file


@pytest.fixture
def russian(tmp_path: Path) -> dict[str, Any]:
    heart = {"❤": {"default": ["любовь"], "tts": ["красное сердце"]}, "☂": {"default": ["дождь"]}}
    files = [
        write_names(tmp_path, "ru.json", "ru", heart),
        write_names(
            tmp_path, "ru2.json", "ru", {"❤": {"tts": ["другое"]}, "☀": {"tts": ["солнце"]}}, "annotationsDerived"
        ),
    ]
    return {"files": files, "column": "sign", "question": "Что это?"}


SIGNS = [
    {"xml": drawing(number), "caption": f"Sign {number}.", "sign": sign}
    for number, sign in enumerate(["❤\ufe0f", "☀", "☂", None])
]


def test_names_are_asked_for_in_their_language(
    tmp_path: Path, russian: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    examples = read_drawings(tmp_path, SIGNS, names=[russian])
    named = {example.id: example for example in examples if example.tags == {"language": "ru"}}
    assert {name: example.answer for name, example in named.items()} == {
        "drawings:1-ru": "красное сердце",
        "drawings:2-ru": "солнце",
    }
    assert {example.question for example in named.values()} == {"Что это?"}
    assert len(examples) == 6
    assert {example.context for example in named.values()} <= {e.context for e in examples if not e.tags}
    assert "drawings.json: rows without a name in ru: 2 of 4" in capsys.readouterr().err


def test_names_that_no_row_has_are_a_fault(tmp_path: Path, russian: dict[str, Any]) -> None:
    error = refused(lambda: read_drawings(tmp_path, SIGNS, names=[{**russian, "column": "caption"}]))
    assert "no row has a name in ru" in error.message
    assert "`caption`" in error.hint


def test_each_language_has_one_entry(tmp_path: Path, russian: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="two entries of `names` are of one language, ru"):
        read_drawings(tmp_path, SIGNS, names=[russian, {**russian, "question": "Как это называется?"}])
    files = [*russian["files"], write_names(tmp_path, "en.json", "en", {})]
    error = refused(lambda: read_drawings(tmp_path, SIGNS, names=[{**russian, "files": files}]))
    assert error.message == "names are of several languages: ru.json of ru and en.json of en"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "not CLDR's annotations"),
        ({"annotations": {"annotations": {}}}, "not CLDR's annotations"),
        ({"annotations": {"identity": {}, "annotations": {}}}, "its identity names no language"),
        (
            {"annotations": {"identity": {"language": "ru"}, "annotations": {"☀": {"tts": "солнце"}}}},
            "tts is no list of names: 1 row (U+2600)",
        ),
        (
            {"annotations": {"identity": {"language": "ru"}, "annotations": {"☀": ["солнце"]}}},
            "a character's entry is no object: 1 row (U+2600)",
        ),
        (
            {"annotations": {"identity": {"language": "ru"}, "annotations": {"☀": {"tts": [""]}}}},
            "no name: 1 row (U+2600)",
        ),
    ],
)
def test_names_of_another_form_are_refused(tmp_path: Path, document: object, told: str) -> None:
    write_json(tmp_path / "names.json", document)
    names = [{"files": ["names.json"], "column": "sign", "question": "Что это?"}]
    error = refused(lambda: read_drawings(tmp_path, SIGNS, names=names))
    assert told in error.message
    assert "names.json" in error.message


# Stand-ins.


def stand_ins(source: dict[str, Any], root: Path, folder: Path) -> Iterator[list[Example]]:
    """Yield what is read from the stand-ins of each of a recipe's two uses of sources of this form."""
    other = {**source, "file": f"other{Path(source['file']).suffix}"}
    words = recipe({"train": [source, other]})
    written = write_stand_ins(words, root, folder, Places(root), pictures=True)
    for spec in written.data.train:
        yield read_source(spec, folder)


@pytest.mark.parametrize(
    "source",
    [
        DRAWINGS,
        DRAWINGS | {"file": "deep/rows.tsv", "xml": "d", "caption": "c", "context": "image", "image_size": 32},
        DRAWINGS | {"xml": None, "folder": "all", "file_name": "{kind}/{hexcode}.svg", "caption": "annotation"},
        DRAWINGS | {"file": "rows.csv", "xml": None, "file_name": "{caption}.svg"},
        DRAWINGS
        | {
            "names": [
                {"files": ["../cldr/ru.json", "cldr/ru2.json"], "question": "Что это?"},
                {"files": ["cldr/en.json"], "column": "caption", "question": "What is it?"},
            ]
        },
    ],
)
def test_stand_ins_of_drawings_are_read_as_drawings_are(source: dict[str, Any], tmp_path: Path) -> None:
    root, folder = tmp_path / "home", tmp_path / "run"
    groups: list[str] = []
    for examples in stand_ins(source, root, folder):
        asked = 1 + len(source.get("names", []))
        assert len(examples) == 24 * asked
        assert len({example.tags.get("language") for example in examples}) == asked
        groups += {example.group for example in examples}
    assert len(set(groups)) == len(groups) == 48
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_stand_ins_of_captions_are_read_as_captions_are(tmp_path: Path) -> None:
    root, folder = tmp_path / "home", tmp_path / "run"
    groups: list[str] = []
    for examples in stand_ins({**COCO, "file": "deep/captions.json"}, root, folder):
        assert len(examples) == 48
        assert all(len(example.references) == 2 for example in examples)
        groups += {example.group for example in examples}
    assert len(set(groups)) == len(groups) == 48
