"""A disk that takes no more, wherever it happens: told plainly, no torn file counts, and `--resume` goes on."""

from __future__ import annotations

import errno
import json
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_runs import Ended, Finesight, WriteRecipe, contents, losses, scores, whole
from transformers import TrainerState

from finesight import opening, rundir
from finesight import run as whole_run
from finesight.rundir import RunDir, read_lines
from finesight.train import callbacks
from finesight.train.trainer import BranchTrainer

FEW_TOKENS = 64
SMALL = ("--max-tokens-per-device", FEW_TOKENS)
"""So that there are many batches."""


LimitFiles = Callable[[int | None], None]


@pytest.fixture
def limit_files() -> Iterator[LimitFiles]:
    """Lets no file grow beyond so many bytes: the system refuses to write on in the middle of a file. None lifts it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return whole(folder, {}, max_tokens=FEW_TOKENS)


def before_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int, action: Callable[..., object]) -> None:
    """Call `action`, with the same arguments, before the `number`th call of `owner.name`."""
    real, calls = getattr(owner, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            action(*args, **kwargs)
        return real(*args, **kwargs)

    patch.setattr(owner, name, counted)


def require_readable(run: Path) -> None:
    """Every JSON file is whole, and every JSON Lines file is up to the end of its last whole line."""
    for path in run.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in run.rglob("*.jsonl"):
        list(read_lines(path))
    assert not list(run.rglob("*partial*"))


TOO_LARGE, NO_ROOM = "File too large", "the disk is full"
Fault = tuple[Any, str, int, str, bool]
"""Where the disk takes no more: before the how manyth call in a start, what is then told, and whether nothing at all
fits any more, or no file may grow."""
FAULTS: Sequence[Fault] = (
    (whole_run, "keep_model", 1, "run/model: the model cannot be written", False),
    (opening, "save_tokenizer", 1, TOO_LARGE, False),
    (RunDir, "save", 1, f"run/data.json: {TOO_LARGE}", False),
    (opening, "write_thumbnail", 2, NO_ROOM, True),
    (BranchTrainer, "_save_checkpoint", 2, "checkpoint-8: the checkpoint cannot be written (", False),
    (BranchTrainer, "_save_optimizer_and_scheduler", 1, "checkpoint-8: the checkpoint cannot be written (", False),
    (TrainerState, "save_to_json", 1, TOO_LARGE, False),
    (callbacks, "write_best", 2, NO_ROOM, True),
    (whole_run, "judge", 1, f"run/verdict.json: {TOO_LARGE}", False),
    (whole_run, "write_report", 1, f"run/report.html: {TOO_LARGE}", False),
)
"""In the order in which a run comes there; each start goes on until it meets the next."""


def test_a_disk_that_is_full_wherever_it_can_be(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, limit_files: LimitFiles, undisturbed: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = tmp_path / "run"
    arguments: tuple[object, ...] = (write_recipe(), "--output", run)
    for owner, name, number, told, is_full in FAULTS:
        with pytest.MonkeyPatch.context() as patch:
            before_call(patch, owner, name, number, refuse if is_full else lambda *_, **__: limit_files(1000))
            ended = finesight("run", *arguments, *SMALL)
        limit_files(None)
        require_told(ended, run, told)
        arguments = ("--resume", run)
    assert finesight("report", run).code == 0
    require_whole(finesight, run, undisturbed)


def test_a_line_that_is_torn(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, limit_files: LimitFiles, undisturbed: Path
) -> None:
    run = tmp_path / "run"
    arguments: tuple[object, ...] = (write_recipe(), "--output", run)
    for file, method, number in (
        (run / "evaluation/before/held_out.jsonl", "append_records", 3),
        (run / "metrics.jsonl", "append_metrics", 6),
    ):
        with pytest.MonkeyPatch.context() as patch:
            before_call(patch, RunDir, method, number, lambda *_, file=file: limit_files(file.stat().st_size + 50))
            ended = finesight("run", *arguments, *SMALL)
        limit_files(None)
        assert not file.read_bytes().endswith(b"\n"), "the line should be torn for this test"
        assert len(list(read_lines(file))) >= number - 1
        require_told(ended, run, f"{file}: File too large")
        assert finesight("report", run).code == 0
        arguments = ("--resume", run)
    require_whole(finesight, run, undisturbed)


def require_told(ended: Ended, run: Path, told: str) -> None:
    """What has stopped is told and left in order."""
    assert ended.code == 2, ended.stderr
    assert told in ended.stderr
    assert f"hint: make room, then go on with: finesight run --resume {run}" in ended.stderr
    assert "Traceback" not in ended.stderr
    require_readable(run)


def require_whole(finesight: Finesight, run: Path, undisturbed: Path) -> None:
    """Resumed, a run gives what an undisturbed one gives."""
    resumed = finesight("run", "--resume", run, *SMALL)
    assert resumed.code == 0, resumed.stderr
    assert losses(run) == losses(undisturbed)
    assert scores(run) == scores(undisturbed)


def test_a_run_that_cannot_even_begin_leaves_no_folder(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, limit_files: LimitFiles
) -> None:
    recipe, run = write_recipe(), tmp_path / "run"
    before = contents(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        before_call(patch, rundir, "dump_recipe", 1, lambda *_: limit_files(1000))
        ended = finesight("run", recipe, "--output", run)
    limit_files(None)
    assert ended.code == 2
    assert f"{run / 'recipe.yaml'}: File too large" in ended.stderr
    assert not run.exists()
    assert contents(tmp_path) == before
    assert finesight("run", recipe, "--output", run).code == 0


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, limit_files: LimitFiles
) -> None:
    run = tmp_path / "run"
    assert finesight("run", write_recipe(), "--output", run).code == 0
    before = contents(run)
    limit_files(1000)
    ended = finesight("report", run)
    limit_files(None)
    assert ended.code == 2
    assert f"{run / 'report.html'}: File too large" in ended.stderr
    assert contents(run) == before
