"""A user's own function as a source: what it may give, and what is told when it goes wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from data_files import IMAGES, picture_bytes, vqa_rows, write_pictures
from PIL import Image

from finesight.data.sources.read import read_source
from finesight.data.standins.functions import write_python
from finesight.errors import DataError, WriteError
from finesight.recipe.sources import PythonSource
from finesight.schema import Example

PILLOW = "from PIL import Image\n"
ONE_ROW = "{'image': '0.png', 'question': 'What?', 'answer': 'a'}"


def function_spec(**more: Any) -> PythonSource:
    return PythonSource.model_validate({"kind": "python", "file": "mine.py", "images": IMAGES, **more})


def read_function(root: Path, code: str, **more: Any) -> list[Example]:
    (root / "mine.py").write_text(code, encoding="utf-8")
    return read_source(function_spec(**more), root)


def fault_of(root: Path, code: str, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_function(root, code, **more)
    assert "mine.py" in caught.value.message
    return caught.value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pictures(tmp_path, 3)
    return tmp_path


def test_the_function_is_called_with_the_recipes_arguments(root: Path) -> None:
    code = (
        "from dataclasses import dataclass\nfrom pathlib import Path\n"
        "@dataclass\nclass Kind:\n    name: 'str'\n"
        "def rows(part, *, count=1):\n"
        "    for number in range(count):\n"
        "        yield {'image': '0.png', 'question': f'Where is {number}?', 'answer': Kind(part).name,\n"
        "               'from': Path(__file__).name}\n"
    )
    examples = read_function(
        root, code, function="rows", arguments={"part": "left", "count": 2}, columns={"group": "from"}
    )
    assert [(example.id, example.question, example.answer) for example in examples] == [
        ("mine:1", "Where is 0?", "left"), ("mine:2", "Where is 1?", "left")
    ]  # fmt: skip
    assert {example.group for example in examples} == {"group:mine.py"}
    assert [path.name for path in sorted(root.iterdir())] == ["mine.py", IMAGES]


@pytest.mark.parametrize(
    "cell",
    [
        "'2.png'",
        "FOLDER / '2.png'",
        "str(FOLDER / '2.png')",
        "(FOLDER / '2.png').read_bytes()",
        "memoryview((FOLDER / '2.png').read_bytes())",
        "Image.open(FOLDER / '2.png')",
        "Image.new('RGB', (6, 4), (2, 0, 7))",
        "Image.new('RGBA', (6, 4), (2, 0, 7, 255))",
    ],
)
def test_an_image_is_a_name_a_path_bytes_or_a_picture(root: Path, cell: str) -> None:
    code = (
        f"from pathlib import Path\n{PILLOW}FOLDER = Path(__file__).parent.absolute() / '{IMAGES}'\n"
        f"def read():\n    return [{{'image': {cell}, 'question': 'What?', 'answer': 'a'}}]\n"
    )
    (example,) = read_function(root, code)
    (image,) = example.images
    assert image.open().size == (6, 4)
    assert image.open().getpixel((0, 0)) == (2, 0, 7)
    assert len(pickle.dumps(image)) < 1000


def test_pictures_are_kept_as_they_are_shown(root: Path) -> None:
    code = (
        f"{PILLOW}def read():\n"
        "    turned = Image.new('RGB', (6, 4), 'red')\n"
        "    turned.getexif()[0x0112] = 6\n"
        "    deep = Image.new('I;16', (6, 4), 25600)\n"
        "    for number, picture in enumerate([turned, deep, deep, None, [turned, '0.png']]):\n"
        "        yield {'image': picture, 'question': f'What is {number}?', 'answer': 'a'}\n"
    )
    turned, deep, again, none, both = read_function(root, code)
    assert turned.images[0].open().size == (4, 6)
    assert turned.images[0].name == "mine.py row 1"
    # 16-bit greyscale is scaled, and not clipped to white.
    assert deep.images[0].open().getpixel((0, 0)) == (100, 100, 100)
    assert deep.images[0].content_hash() == again.images[0].content_hash()
    assert deep.group == again.group != turned.group == both.group
    assert none.images == ()
    assert [image.open().size for image in both.images] == [(4, 6), (6, 4)]


def test_bytes_have_the_hash_of_their_own_file(root: Path) -> None:
    code = (
        f"def read():\n    yield {{'image': {picture_bytes(0)!r}, 'question': 'a?', 'answer': 'a'}}\n"
        f"    yield {{'image': '0.png', 'question': 'b?', 'answer': 'b'}}\n"
    )
    held, named = read_function(root, code)
    assert held.images[0].content_hash() == named.images[0].content_hash()
    assert held.group == named.group


def test_cells_from_arrays_and_tuples_are_plain(root: Path) -> None:
    code = (
        "import numpy\ndef read():\n"
        "    images = '0.png', '1.png'\n"
        "    yield {'image': images, 'question': 'How many?', 'answer': numpy.int64(3), 'all': (3, 'three')}\n"
    )
    (example,) = read_function(root, code, columns={"answers": "all"})
    assert example.references == ("3", "three")
    assert len(example.images) == 2


def test_what_it_prints_is_no_result(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_function(root, f"print('loading')\ndef read():\n    print('reading')\n    return [{ONE_ROW}]\n")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "loading\nreading\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def read(:\n    pass\n", "mine.py, line 1: SyntaxError: "),
        ("x = 1\nimport nowhere_to_be_found\n", "mine.py, line 2: ModuleNotFoundError: No module named 'nowhere"),
        ("def read():\n    return [1 / 0]\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
        (f"def read():\n    yield {ONE_ROW}\n    yield {{}}['gone']\n", "mine.py, line 3: KeyError: 'gone'"),
        ("import json\ndef read():\n    json.loads('[')\n", "mine.py, line 3: JSONDecodeError: "),
        ("def read():\n    raise ValueError\n", "mine.py, line 2: ValueError"),
        ("def read():\n    raise SystemExit(3)\n", "mine.py, line 2: SystemExit: 3"),
        ("def read():\n    raise StopIteration\n", "mine.py, line 2: StopIteration"),
        ("class Own(Exception):\n    pass\ndef read():\n    raise Own('no such scan')\n", "line 4: Own: no such scan"),
        ("def red():\n    return []\nX = 1\n", "no function `read`; its functions are red"),
        ("read = 3\n", "no function `read`; the file defines no function"),
        ("def read():\n    pass\n", "read returns nothing, not rows"),
        ("def read():\n    return {'a': 1}\n", "read returns one dict, not rows"),
        ("def read():\n    return 'rows.json'\n", "read returns one str, not rows"),
        ("def read():\n    return []\n", "read gives no rows"),
        ("def read(part):\n    return []\n", "read(part) cannot be called with the recipe's arguments: missing a"),
    ],
)
def test_what_goes_wrong_is_told_with_the_users_line(root: Path, code: str, told: str) -> None:
    assert told in fault_of(root, code).message


def test_the_users_own_error_is_at_hand(root: Path) -> None:
    error = fault_of(root, "def read():\n    return [1 / 0]\n")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert "--traceback" in error.hint


def test_an_interruption_passes(root: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        read_function(root, "def read():\n    raise KeyboardInterrupt\n")


def test_every_row_at_fault_is_named(root: Path) -> None:
    code = (
        f"{PILLOW}def read():\n"
        f"    yield {ONE_ROW}\n"
        "    yield ['0.png', 'What?', 'a']\n"
        "    yield {'image': object(), 'question': 'What?', 'answer': 'a'}\n"
        "    yield {'image': '9.png', 'question': 'What?', 'answer': ''}\n"
        "    yield {'image': Image.new('F', (6, 4)), 'question': 'What?', 'answer': 'a'}\n"
        "    yield {'image': '0.png', 'question': 'What?', 'answer': Image.new('1', (1, 1))}\n"
    )
    message = fault_of(root, code).message
    for told in (
        "not a dictionary, but of the type list: 1 row (row 2)",
        "image is of the type object: 1 row (row 3)",
        "no answer: 1 row (row 4)",
        "image file missing: 1 row (row 4: 9.png)",
        "image cannot be used: 1 row (row 5: its pixels are floating point numbers",
        "answer is of the type Image, not text: 1 row (row 6)",
    ):
        assert told in message


def test_a_missing_column_and_ids_that_repeat(root: Path) -> None:
    code = "def read():\n    return [{'image': '0.png', 'question': 'a?', 'label': 'x', 'id': 1}] * 2\n"
    assert "no column `answer`" in fault_of(root, code).message
    told = fault_of(root, code, columns={"answer": "label", "id": "id"})
    assert "the id in column `id` is not unique: 1 row (1)" in told.message


def test_a_file_that_is_not_there(root: Path) -> None:
    (root / "mine2.py").write_text("")
    with pytest.raises(DataError, match="Python file not found") as caught:
        read_source(function_spec(), root)
    assert "did you mean `mine2.py`?" in caught.value.hint


def test_a_cache_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "taken").write_text("")
    code = f"{PILLOW}def read():\n    yield {{'image': Image.new('L', (2, 2)), 'question': 'a?', 'answer': 'a'}}\n"
    read_function(root, code)
    monkeypatch.setenv("FINESIGHT_CACHE", str(root / "taken"))
    with pytest.raises(WriteError, match="a picture cannot be kept here") as caught:
        read_function(root, code)
    assert "FINESIGHT_CACHE" in caught.value.hint


@pytest.mark.parametrize("pictures", [True, False])
def test_stand_ins_are_read_by_the_same_reader(pictures: bool, tmp_path: Path) -> None:
    columns = {"id": "key", "question": "asked", "answers": "all", "group": "who"}
    spec = function_spec(file="code/load.py", function="load_rows", arguments={"year": 2019}, columns=columns)
    count = write_python(spec, tmp_path, range(1, 9), pictures=pictures)
    examples = read_source(spec, tmp_path)
    assert count == len(examples) == 16
    assert {len(example.images) for example in examples} == {int(pictures)}
    assert all(image.open().mode == "RGB" for example in examples for image in example.images)


def test_rows_are_those_of_the_same_json(root: Path) -> None:
    rows = vqa_rows(3)
    examples = read_function(root, f"def read():\n    return {rows!r}\n")
    assert [(example.question, example.answer) for example in examples] == [
        (row["question"], row["answer"]) for row in rows
    ]
    with Image.open(root / IMAGES / "0.png") as picture:
        assert examples[0].images[0].open().tobytes() == picture.convert("RGB").tobytes()
