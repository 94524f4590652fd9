"""A recipe of two stages, what one process makes of it, and two processes at the same."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import yaml
from shared_runs import PROCESSES, RECIPE, Before, Ended, Pair, run_alone, run_process

from finesight.launch.local import free_port

PATIENCE_SECONDS = 120


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    """Starts processes that need not import torch again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["finesight.run", "finesight.cli.main", "shared_runs"])
    return context


@pytest.fixture
def pair(server: ForkServerContext, tmp_path: Path) -> Pair:
    """Carries out `finesight run` by two processes."""
    starts = 0

    def run(*arguments: object, engine: str = "ddp", before: Before | None = None) -> Ended:
        nonlocal starts
        starts += 1
        log, port, typed = tmp_path / f"log-{starts}", free_port(), [*map(str, arguments)]
        both = [
            server.Process(target=run_process, args=(rank, port, log, typed, engine, before))
            for rank in range(PROCESSES)
        ]
        for process in both:
            process.start()
        for process in both:
            process.join(PATIENCE_SECONDS)
        codes = tuple(process.exitcode for process in both)
        for process in both:
            process.kill()
        return Ended(codes, log.read_text(encoding="utf-8"))

    return run


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, as a file."""
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def alone(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that one process makes of the recipe, every step in one batch."""
    return run_alone(recipe_file, tmp_path_factory.mktemp("alone") / "run")
