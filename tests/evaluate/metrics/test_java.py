"""Java programs: what they answer, and that they end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from finesight.errors import FinesightError, UserError
from finesight.evaluate.metrics import java


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called java, of whatever a test writes, before the real one."""
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


def test_each_line_is_answered(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\nsed 's/^/</'\n")
    assert java.answer_lines("sed", [], ["a", "", "ёж"], tmp_path) == ["<a", "<", "<ёж"]


def test_a_program_that_prints_nothing_gives_no_line(stand_in: Path, tmp_path: Path) -> None:
    assert java.answer_lines("nothing", [], ["a"], tmp_path) == []


def test_more_lines_than_a_pipe_holds_come_back(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\ncat\n")
    lines = ["a brown dog " * 100] * 1000
    assert java.answer_lines("cat", [], lines, tmp_path) == lines


def test_letters_do_not_depend_on_the_language_of_the_machine(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    (printed,) = java.answer_lines("echo", ["-jar", "x.jar"], [], tmp_path)
    assert printed == "-Dfile.encoding=UTF-8 -Duser.language=en -Duser.country=US -jar x.jar"


def test_a_failed_program_is_told_with_its_last_words(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\ncat > /dev/null\necho first >&2\necho no memory >&2\nexit 3\n")
    with pytest.raises(FinesightError, match="METEOR failed with code 3: no memory"):
        java.answer_lines("METEOR", [], ["a"], tmp_path)


def test_a_program_that_hangs_is_stopped(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "START_SECONDS", 0.3)
    stand_in.write_text(f"#!/bin/sh\nsleep 2\ntouch {tmp_path}/survived\n")
    # `sleep` keeps the pipes open; the shell that would go on after it is gone.
    with pytest.raises(FinesightError, match="METEOR took longer than 0 seconds for 1 lines"):
        java.answer_lines("METEOR", [], ["a"], tmp_path)
    time.sleep(2.5)
    assert not (tmp_path / "survived").exists()


def test_a_machine_without_java_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="METEOR is a Java program, and there is no Java here") as refused:
        java.answer_lines("METEOR", [], ["a"], tmp_path)
    assert "java -version" in refused.value.hint


def test_a_kept_program_answers_again_without_a_new_start(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\nexec cat\n")
    program = java.KeptProgram("cat", [], tmp_path)
    lines = ["a brown dog " * 100] * 1000
    assert program.answer(lines) == lines
    assert program.answer([]) == []
    assert program.answer(["ёж", ""]) == ["ёж", ""]
    assert (tmp_path / "starts").read_text() == "started\n"
    program.end()
    program.end()
    assert program.answer(["a"]) == ["a"]
    assert (tmp_path / "starts").read_text() == "started\nstarted\n"
    program.end()


def test_what_asks_a_run_to_stop_does_not_stop_a_program(stand_in: Path, tmp_path: Path) -> None:
    signals = "".join(f"kill -{name} $$\n" for name in ("INT", "TERM", "USR1"))
    stand_in.write_text(f"#!/bin/sh\nwhile read line; do\n{signals}echo $line\ndone\n")
    assert java.answer_lines("echo", [], ["a", "b"], tmp_path) == ["a", "b"]
    program = java.KeptProgram("echo", [], tmp_path)
    assert program.answer(["a"]) == ["a"]
    assert program.answer(["b"]) == ["b"]
    program.end()


def test_a_kept_program_that_fails_is_told_and_begins_anew(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text("#!/bin/sh\nread line\necho $line\necho no memory >&2\nexit 3\n")
    program = java.KeptProgram("METEOR", [], tmp_path)
    for _ in range(2):
        with pytest.raises(FinesightError, match="METEOR failed with code 3: no memory"):
            program.answer(["a", "b"])


def test_a_kept_program_that_hangs_is_stopped(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "START_SECONDS", 0.3)
    stand_in.write_text(f"#!/bin/sh\nsleep 2\ntouch {tmp_path}/survived\n")
    program = java.KeptProgram("METEOR", [], tmp_path)
    began = time.monotonic()
    with pytest.raises(FinesightError, match="METEOR took longer than 0 seconds for 1 lines"):
        program.answer(["a"])
    assert time.monotonic() - began < 2
    time.sleep(2)
    assert not (tmp_path / "survived").exists()
