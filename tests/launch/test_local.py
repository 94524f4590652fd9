"""Processes on this machine: what each is told, and that they end together, however one of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from finesight.launch import local
from finesight.launch.local import command_lines, environments, run_here
from finesight.launch.work import Work


def processes(count: int, monkeypatch: pytest.MonkeyPatch, body: str) -> Work:
    """Return work whose processes run `body` instead of a run; `rank` is there to be read."""
    code = f"import os, signal, sys, time\nrank = int(os.environ['RANK'])\n{textwrap.dedent(body)}"
    monkeypatch.setattr(local, "command", lambda work: [sys.executable, "-c", code])
    return Work((), (), count, "ddp")


def test_each_process_is_told_what_torchrun_would_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    told = environments(Work((), (), 2, "fsdp"), 1234)
    shared = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234",
        "FINESIGHT_ENGINE": "fsdp", "OMP_NUM_THREADS": "4",
    }  # fmt: skip
    assert told == [{**shared, "RANK": "0", "LOCAL_RANK": "0"}, {**shared, "RANK": "1", "LOCAL_RANK": "1"}]


def test_a_process_alone_has_nobody_to_find() -> None:
    (told,) = environments(Work((), (), 1, "ddp"), 1234)
    assert set(told) == {"OMP_NUM_THREADS"}
    (told,) = environments(Work((), (), 1, "zero2-offload"), 1234)
    assert told["WORLD_SIZE"] == "1" and told["MASTER_ADDR"]


def test_without_gpus_none_is_seen() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in environments(Work((), (), 2, "ddp"), 1234)[0]
    assert environments(Work((), (), 2, "ddp", hides_gpus=True), 1234)[1]["CUDA_VISIBLE_DEVICES"] == ""


def test_a_dry_run_gives_lines_that_a_shell_runs(tmp_path: Path) -> None:
    lines = command_lines(Work(("run", "it's mine.yaml"), (), 2, "ddp"))
    assert len(lines) == 2
    last = lines[1].replace(f"{sys.executable} -m finesight", "printenv RANK && printf '%s\n'")
    done = subprocess.run(["bash", "-c", last], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["1", "run", "it's mine.yaml"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0),
        ("time.sleep(rank * 0.3)", 0),
        ("sys.exit(75)", 75),
        ("sys.exit(2 if rank else 0)", 2),
        ("time.sleep(60 if rank == 0 else 0); sys.exit(3)", 3),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN) if rank else sys.exit(4)\ntime.sleep(60)", 4),
    ],
    ids=["well", "one later", "stopped", "one fails", "the other hangs", "and will not be asked"],
)
def test_they_end_together(body: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PATIENCE_SECONDS", 0.3)
    assert run_here(processes(2, monkeypatch, body)) == code


def test_a_process_that_was_killed_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(local, "PATIENCE_SECONDS", 0.3)
    body = "os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(60)"
    assert run_here(processes(2, monkeypatch, body)) == 128 + signal.SIGKILL
    assert "process 1 was ended by SIGKILL (most often because the machine ran out of memory)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGUSR1, signal.SIGUSR1),
        (signal.SIGHUP, signal.SIGTERM),
    ],
)
def test_what_this_process_is_told_reaches_each_of_them(
    sent: signal.Signals, arrives: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = f"""
        from pathlib import Path
        def stop(number, frame):
            Path({str(tmp_path)!r}, f"stopped-{{rank}}").write_text(str(int(number)))
            sys.exit(75)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, stop)
        Path({str(tmp_path)!r}, f"up-{{rank}}").touch()
        if rank == 0:
            while not Path({str(tmp_path)!r}, "up-1").exists():
                time.sleep(0.01)
            os.kill(os.getppid(), {int(sent)})
        time.sleep(60)
    """
    started = time.monotonic()
    assert run_here(processes(2, monkeypatch, body)) == 75
    assert [(tmp_path / f"stopped-{rank}").read_text() for rank in (0, 1)] == [str(int(arrives))] * 2
    assert time.monotonic() - started < 30
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
