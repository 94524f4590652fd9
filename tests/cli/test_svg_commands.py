"""`finesight svg`: one file, many files, and one of them bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from finesight.cli.main import build

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512"><rect width="10" height="10" fill="red"/></svg>'
LINE = "style=fill:255,0,0;stroke:None;stroke-width:1;opacity:1\td=M0,0 L10,0 L10,10 L0,10 L0,0\n"


def svg(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), ["svg", *map(str, arguments)])


@pytest.fixture
def square(tmp_path: Path) -> Path:
    path = tmp_path / "square.svg"
    path.write_text(SQUARE, encoding="utf-8")
    return path


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """A folder of three drawings, one of which declares an entity, and a file that is none."""
    folder = tmp_path / "drawings"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.svg").write_text(SQUARE, encoding="utf-8")
    (folder / "bad.svg").write_text('<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', encoding="utf-8")
    (folder / "deep" / "c.svg").write_text(SQUARE.replace("<rect", "<text/><rect"), encoding="utf-8")
    (folder / "notes.md").write_text("no drawing", encoding="utf-8")
    return folder


def test_one_file_is_printed_or_written(square: Path, tmp_path: Path) -> None:
    printed = svg("simplify", square)
    assert (printed.exit_code, printed.stdout, printed.stderr) == (0, LINE, "")
    written = svg("simplify", square, "--output", tmp_path / "square.txt")
    assert (written.exit_code, written.stdout) == (0, "")
    assert (tmp_path / "square.txt").read_text(encoding="utf-8") == LINE


def test_there_and_back_again(square: Path, tmp_path: Path) -> None:
    svg("simplify", square, "--output", tmp_path / "square.txt")
    assert svg("restore", tmp_path / "square.txt", "--output", tmp_path / "again.svg").exit_code == 0
    assert svg("simplify", tmp_path / "again.svg").stdout == LINE
    for name in ("square.txt", "again.svg"):
        drawn = svg("render", tmp_path / name, "--size", "64", "--output", tmp_path / "drawn.png")
        assert drawn.exit_code == 0, drawn.stderr
        with Image.open(tmp_path / "drawn.png") as picture:
            assert (picture.size, picture.getpixel((0, 0)), picture.getpixel((9, 9))) == (
                (64, 64),
                (255, 0, 0),
                (255,) * 3,
            )


@pytest.mark.parametrize(("verb", "suffix"), [("simplify", ".txt"), ("render", ".png")])
def test_a_bad_file_is_named_and_stops_no_other(drawings: Path, tmp_path: Path, verb: str, suffix: str) -> None:
    done = svg(verb, drawings, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{drawings / 'bad.svg'}:1: declares an entity" in done.stderr
    assert "files that could not be converted, named above: 1" in done.stderr
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == [f"a{suffix}", f"deep/c{suffix}"]


def test_json_holds_every_text_and_what_it_cannot_say(drawings: Path) -> None:
    done = svg("simplify", drawings / "a.svg", drawings / "deep", "--json")
    assert done.exit_code == 0
    assert [(entry["text"] + "\n", entry["unsaid"]) for entry in json.loads(done.stdout)] == [
        (LINE, {}),
        (LINE, {"text": 1}),
    ]
    assert done.stderr.splitlines()[-1] == "the text cannot say: text (files: 1)"


def test_one_bad_file_alone_is_something_to_mend(drawings: Path) -> None:
    done = svg("simplify", drawings / "bad.svg")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1].startswith("hint: ")


def test_mistakes_are_told_before_anything_is_written(square: Path, drawings: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for arguments, told in (
        (("simplify", tmp_path / "gone.svg"), "gone.svg: no such file or folder"),
        (("simplify", drawings), "3 files and no --output"),
        (("simplify", square, "--output", square), "would be written over"),
        (
            ("simplify", drawings / "a.svg", drawings / "deep" / ".." / "a.svg", "--output", tmp_path / "o"),
            "written over",
        ),
        (("simplify", square, "--json", "--output", tmp_path / "o"), "--json prints"),
        (("restore", drawings), "no .txt files in it"),
    ):
        done = svg(*arguments)
        assert done.exit_code == 2, arguments
        assert told in done.stderr
    assert svg("render", square, "--size", "0", "--output", tmp_path / "o.png").exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before
