"""One run, one process: the second is refused and loses nothing; what a dead one left is taken over."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from separate_runs import FEW_TOKENS, LONGER, StartRun, kill, wait_until
from small_runs import Finesight, WriteRecipe, losses, read_json_lines, recipe_text

from finesight.errors import UserError
from finesight.recipe.reading import read_recipe
from finesight.run_lock import LOCK_FILE, held_alone, who_holds
from finesight.rundir import RunDir

NO_PROCESS = 2**22 + 1
"""A number above the highest that Linux gives."""


def has_lines(file: Path, lines: int) -> Callable[[], bool]:
    return lambda: file.exists() and file.read_bytes().count(b"\n") >= lines


def test_the_second_of_two_runs_in_one_folder_is_refused_and_the_first_ends_well(
    start_run: StartRun, write_recipe: WriteRecipe, tmp_path: Path, finesight: Finesight, longer_undisturbed: Path
) -> None:
    arguments = (write_recipe(**LONGER), "--output", run := tmp_path / "run", "--max-tokens-per-device", FEW_TOKENS)
    first = start_run(tmp_path / "first.log", *arguments)
    assert wait_until(lambda: who_holds(run) is not None, first)
    # At once, before the first has begun, and later, while it trains.
    second = start_run(tmp_path / "second.log", *arguments)
    assert wait_until(has_lines(run / "metrics.jsonl", 5), first)
    third = finesight("run", "--resume", run)
    second.join()
    first.join()
    assert (first.exitcode, second.exitcode, third.code) == (0, 2, 2)
    for told in ((tmp_path / "second.log").read_text(encoding="utf-8"), third.stderr):
        assert f"{run}: another process is at this run (process {first.pid} on {socket.gethostname()}, since " in told
        assert "hint: wait for it or stop it, or give another --output" in told
        assert "Traceback" not in told
    assert losses(run) == losses(longer_undisturbed)
    answered = [record["id"] for record in read_json_lines(run / "evaluation/before/held_out.jsonl")]
    assert len(answered) == len(set(answered))
    assert not (run / LOCK_FILE).exists()


def test_what_a_killed_run_left_is_taken_over_and_said(
    start_run: StartRun, write_recipe: WriteRecipe, tmp_path: Path, finesight: Finesight
) -> None:
    run = tmp_path / "run"
    first = start_run(tmp_path / "log", write_recipe(), "--output", run)
    assert wait_until(lambda: (run / "recipe.yaml").exists(), first)
    assert who_holds(run) is not None
    assert kill(first)
    assert (run / LOCK_FILE).exists()
    assert who_holds(run) is None
    ended = finesight("run", "--resume", run)
    assert ended.code == 0, ended.stderr
    assert f"{run}: taking over from process {first.pid} on {socket.gethostname()}, since " in ended.stderr
    assert not (run / LOCK_FILE).exists()


def test_a_run_or_rehearsal_killed_before_it_began_leaves_its_folder_free(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for folder in ("rehearsal/outside", ".finesight-check-abc"):
        (run / folder).mkdir(parents=True)
    for name in ("environment.json", "recipe.yaml.17.partial", "rehearsal.json", "rehearsal/rows.json"):
        (run / name).write_text("{}", encoding="utf-8")
    refused = finesight("run", write_recipe(), "--output", run)
    assert refused.code == 2, "without a lock they may be anybody's"
    assert f"{run}: the output folder holds something else\nhint: give another --output\n" in refused.stderr
    leave_lock(run, host=socket.gethostname())
    ended = finesight("run", write_recipe(), "--output", run)
    assert ended.code == 0, ended.stderr
    assert "a rehearsal" not in ended.stderr + ended.stdout
    assert not [path for path in run.iterdir() if "rehearsal" in path.name or path.name.startswith(".")]


def test_a_folder_that_another_run_has_taken_meanwhile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe_text({}), encoding="utf-8")
    recipe, place = read_recipe(tmp_path / "recipe.yaml").recipe, tmp_path / "a run"
    first, second = RunDir.new(recipe, place, tmp_path), RunDir.new(recipe, place, tmp_path)
    with first.alone():
        first.begin({"data_root": str(tmp_path)})
    with pytest.raises(UserError, match="the output folder holds another run") as refused, second.alone():
        raise AssertionError("it is not let in")
    assert refused.value.hint == f"continue that run with `finesight run --resume '{place}'`, or give another --output"
    with RunDir.existing(place).alone():
        assert sorted(path.name for path in place.iterdir()) == ["environment.json", "recipe.yaml", LOCK_FILE]


def leave_lock(folder: Path, *, host: str, pid: int = NO_PROCESS) -> None:
    (folder / LOCK_FILE).write_text(json.dumps({"host": host, "pid": pid, "since": "then"}), encoding="utf-8")


def test_a_folder_that_was_made_for_nothing_goes(tmp_path: Path) -> None:
    with held_alone(tmp_path / "runs/one"):
        assert (tmp_path / "runs/one" / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []
    with held_alone(tmp_path / "runs/two"):
        (tmp_path / "runs/two/recipe.yaml").touch()
    assert [path.name for path in (tmp_path / "runs/two").iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("host", "pid", "may_go_on"),
    [
        (socket.gethostname(), NO_PROCESS, True),
        (socket.gethostname(), os.getpid(), False),
        ("another-machine", NO_PROCESS, False),
    ],
    ids=["a dead process here", "a living process here", "another machine"],
)
def test_where_a_file_system_has_no_locks_the_name_in_the_file_decides(
    host: str, pid: int, may_go_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    leave_lock(tmp_path, host=host, pid=pid)
    monkeypatch.setattr(fcntl, "lockf", refuse)
    if may_go_on:
        with held_alone(tmp_path):
            pass
        return
    with pytest.raises(
        UserError, match=f"another process is at this run .process {pid} on {host}, since then"
    ) as error:
        held_alone(tmp_path).__enter__()
    assert error.value.hint.endswith("this file system has no locks")
    assert (tmp_path / LOCK_FILE).exists()
