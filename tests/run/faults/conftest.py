"""A run that another process makes, from a server that has already imported what takes seconds."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from separate_runs import FEW_TOKENS, LONGER, StartRun, run_command
from small_runs import whole


@pytest.fixture(scope="session", autouse=True)
def little_to_collect() -> None:
    """Leave what was imported out of the collections of garbage that end each training: most of its time here."""
    import finesight.cli.main
    import finesight.rehearse
    import finesight.run  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def longer_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The longer run, which nobody disturbs."""
    return whole(tmp_path_factory.mktemp("undisturbed"), LONGER, max_tokens=FEW_TOKENS)


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    """Starts processes that need not import torch again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["finesight.run", "finesight.rehearse", "finesight.cli.main", "separate_runs"])
    return context


@pytest.fixture
def start_run(server: ForkServerContext, tmp_path: Path) -> Iterator[StartRun]:
    """Starts `finesight run` with the arguments in a process of its own; what it says is in the file given first."""
    started: list[ForkServerProcess] = []

    def start(log: Path, *arguments: object) -> ForkServerProcess:
        process = server.Process(target=run_command, args=(log, [*map(str, arguments)]))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
