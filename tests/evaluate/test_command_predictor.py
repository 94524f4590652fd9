"""A program as a captioner: what it is given, what it answers, and every way in which it fails."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from finesight.errors import UserError
from finesight.evaluate.command_predictor import CommandPredictor
from finesight.evaluate.program import Command
from finesight.schema import Example, Turn

BEGINNING = """
import json, os, sys, time

def caption(asked, text="a picture"):
    print(json.dumps({"id": asked["id"], "caption": text}))

asked = [json.loads(line) for line in sys.stdin]
"""

Make = Callable[..., CommandPredictor]


@dataclass(frozen=True)
class Shade:
    """A picture of one shade of grey."""

    shade: int

    @property
    def name(self) -> str:
        return f"shade {self.shade}"

    def open(self) -> Image.Image:
        return Image.new("RGB", (4, 3), (self.shade,) * 3)

    def content_hash(self) -> str:
        return self.name


def shown(number: int, shade: int | None = None) -> Example:
    image = Shade(number if shade is None else shade)
    turns = (Turn("user", "Was ist das?\u2028"), Turn("assistant", "grey", learned=True))
    return Example(f"e{number}", image.name, (image,), turns, ("grey",))


EXAMPLES = [shown(number) for number in range(5)]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Returns a captioner that runs a program: `asked` holds what it has read."""

    def make_it(program: str, *, timeout_seconds: float = 60, **environment: str) -> CommandPredictor:
        file = tmp_path / "caption.py"
        file.write_text(BEGINNING + textwrap.dedent(program), encoding="utf-8")
        command = Command((sys.executable, "caption.py"), tmp_path, environment, tmp_path / "logs" / "own.log")
        return CommandPredictor("own", command, timeout_seconds)

    return make_it


def answers(predictor: CommandPredictor, examples: list[Example] = EXAMPLES) -> dict[str, str]:
    return {one.id: one.text for some in predictor.answer(examples) for one in some}


def fails(predictor: CommandPredictor) -> tuple[dict[str, str], UserError]:
    """Return what came before it failed, and how it failed."""
    kept: dict[str, str] = {}
    with pytest.raises(UserError) as failed:
        for some in predictor.answer(EXAMPLES):
            kept |= {one.id: one.text for one in some}
    return kept, failed.value


def test_pictures_go_in_as_files_and_captions_come_out_in_any_order(make: Make, tmp_path: Path) -> None:
    predictor = make(
        """
        from PIL import Image
        print("loading", file=sys.stderr)
        for one in reversed(asked):
            with Image.open(one["image"]) as picture:
                seen = (picture.format, picture.mode, picture.size, picture.getpixel((0, 0))[0])
            caption(one, f"{seen} {one['prompt']!r} {os.environ['SHADE']}\\nи ёж")
        """,
        SHADE="grey",
    )
    expected = f"('PNG', 'RGB', (4, 3), {{}}) {'Was ist das?' + chr(0x2028)!r} grey\nи ёж"
    assert answers(predictor) == {f"e{number}": expected.format(number) for number in range(5)}
    assert (tmp_path / "logs" / "own.log").read_text(encoding="utf-8") == "loading\n"


def test_equal_pictures_are_one_file_and_none_is_left(make: Make, tmp_path: Path) -> None:
    predictor = make("for one in asked: caption(one, one['image'])")
    files = answers(predictor, [shown(1), shown(2), shown(3, shade=1)])
    assert files["e1"] == files["e3"] != files["e2"]
    assert all(Path(file).is_absolute() and not Path(file).parent.exists() for file in files.values())


def test_nobody_is_asked_about_nothing(make: Make, tmp_path: Path) -> None:
    assert answers(make("open('begun', 'w')"), []) == {}
    assert not (tmp_path / "begun").exists()


def test_a_crash_keeps_what_came_before_and_shows_the_last_words(make: Make) -> None:
    kept, error = fails(
        make(
            """
            for one in asked[:2]:
                caption(one)
            for number in range(30):
                print("word", number, file=sys.stderr)
            raise MemoryError("no room for the model")
            """
        )
    )
    assert list(kept) == ["e0", "e1"]
    assert "own: it ended with exit code 1; 3 of 5 captions are missing (e2, e3, e4)" in error.message
    assert "MemoryError: no room for the model" in error.message
    assert "word 29" in error.message and "word 9\n" not in error.message
    assert "logs/own.log" in error.hint


def test_a_program_that_is_killed_says_by_what(make: Make) -> None:
    _, error = fails(make("os.kill(os.getpid(), 9)"))
    assert "it was ended by SIGKILL; 5 of 5 captions are missing" in error.message
    assert "It wrote nothing on stderr." in error.message


@pytest.mark.parametrize(
    "program",
    [
        "caption(asked[0]); time.sleep(60)",
        "caption(asked[0]); os.close(1); time.sleep(60)",
        """
        caption(asked[0])
        while True:
            print("still at it")
            time.sleep(0.05)
        """,
        "caption(asked[0]); os.fork() and os._exit(0) or time.sleep(60)",
    ],
    ids=["silent", "closed", "chatty", "forked"],
)
def test_a_program_that_hangs_is_ended(make: Make, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finesight.evaluate.program.ENDING_SECONDS", 1.0)
    monkeypatch.setattr("finesight.evaluate.program._WAIT_SECONDS", 0.1)
    began = time.monotonic()
    kept, error = fails(make(program, timeout_seconds=2))
    assert list(kept) == ["e0"]
    assert "4 of 5 captions are missing (e1, e2, e3, …)" in error.message
    assert time.monotonic() - began < 40
    if "os.close" not in program:
        assert "no caption came for 2 seconds, and it was ended" in error.message
        assert "timeout_seconds" in error.hint


def test_whoever_stops_listening_ends_the_program(make: Make, tmp_path: Path) -> None:
    predictor = make(
        """
        open("pid", "w").write(str(os.getpid()))
        caption(asked[0])
        time.sleep(60)
        """
    )
    with closing(predictor.answer(EXAMPLES)) as coming:
        assert next(some for some in coming if some)[0].id == "e0"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 0)


def test_silence_is_told_every_second_so_that_a_person_can_stop(make: Make) -> None:
    coming = make("time.sleep(3)\nfor one in asked: caption(one)").answer(EXAMPLES)
    assert next(coming) == []
    coming.close()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("caption({'id': 'x'})", "1 line is a caption for an id that was not asked about"),
        ("caption(asked[0])", "1 line is a second caption for an id"),
        ("print('100%|████| 5/5')", "1 line is not JSON (line 6: 100%|████| 5/5)"),
        ("sys.stdout.buffer.write(b'\\xff' * 3_000_000)", "3 lines are not JSON"),
        ("print(json.dumps([1]))", "1 line is not {"),
    ],
)
def test_what_was_not_asked_for_is_an_error_though_all_captions_came(make: Make, program: str, told: str) -> None:
    kept, error = fails(make(f"for one in asked: caption(one)\n{program}"))
    assert len(kept) == 5
    assert told in error.message
    assert "stdout is for lines of" in error.hint and "the same --output" in error.hint


def test_a_last_line_without_its_end_counts(make: Make) -> None:
    predictor = make("print('\\n'.join(json.dumps({'id': one['id'], 'caption': 'a'}) for one in asked), end='')")
    assert len(answers(predictor)) == 5


def test_a_crash_after_the_last_caption_is_a_warning(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(answers(make("for one in asked: caption(one)\nsys.stdout.flush()\nos.abort()"))) == 5
    assert "warning: own: it was ended by SIGABRT, having given all captions" in capsys.readouterr().err


def test_a_program_that_has_said_all_and_stays_is_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("command_predictor", "program"):
        monkeypatch.setattr(f"finesight.evaluate.{module}.ENDING_SECONDS", 0.5)
    assert len(answers(make("for one in asked: caption(one)\ntime.sleep(60)"))) == 5
    assert "warning: own: it did not end by itself, having given all captions" in capsys.readouterr().err


@pytest.mark.parametrize(("program", "is_there"), [("no-such-program", False), ("bin/own", True), ("bin/not", False)])
def test_a_program_that_is_not_there_is_missed_before_anything(tmp_path: Path, program: str, is_there: bool) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "own").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "bin" / "own").chmod(0o755)
    (tmp_path / "bin" / "not").write_text("not to be run", encoding="utf-8")
    command = Command((program,), tmp_path, {}, tmp_path / "own.log")
    if is_there:
        command.require_program("own")
        return
    with pytest.raises(UserError, match=f"own: there is no program {program}"):
        command.require_program("own")


def test_a_program_that_cannot_be_begun(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"\x7fELF, but no program")
    (tmp_path / "own").chmod(0o755)
    command: Any = Command(("./own",), tmp_path, {}, tmp_path / "own.log")
    with pytest.raises(UserError, match=r"\./own: cannot be run: Exec format error"):
        list(CommandPredictor("own", command, 5).answer(EXAMPLES))
