"""What goes wrong inside a step: every end is explained, and the run goes on when its cause is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import FROM_QUESTIONS, RECIPE, Ended, Finesight, WriteRecipe, losses, scores, whole, write_questions
from torch.utils.data import get_worker_info

from finesight.errors import UserError
from finesight.models.image_formatter import ImageFormatter
from finesight.schema import ImageSource
from finesight.train import trainer
from finesight.train.batches import deaths_told, lost_readers_told
from finesight.train.trainer import BranchTrainer


def with_readers(count: int) -> dict[str, Any]:
    """Return the sections of a run on pictures in files that saves at every other step, with so many readers ahead."""
    return {"data": FROM_QUESTIONS, "train": {**RECIPE["train"], "save_steps": 2, "dataloader_num_workers": count}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_questions(folder / "data")
    return whole(folder, with_readers(0))


def test_an_image_that_is_deleted_after_the_check_is_named(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path, undisturbed: Path
) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"

    def move_away(*_: object, **__: object) -> None:
        questions.rename(moved)

    arguments: tuple[object, ...] = (write_recipe(**with_readers(1)), "--output", run)
    for step in (4, 7):  # a process ahead meets it, then this one
        with pytest.MonkeyPatch.context() as patch:
            before_step(patch, step, move_away)
            ended = finesight("run", *arguments)
        told_plainly(ended, run, 2, ".png: cannot be decoded ([Errno 2] No such file or directory: ")
        assert "run `finesight check`; then go on with: " in ended.stderr
        # Not there is told before anything is touched, restored it goes on.
        kept = losses(run)
        assert finesight("run", "--resume", run).code == 2
        assert losses(run) == kept
        moved.rename(questions)
        recipe = run / "recipe.yaml"
        recipe.write_text(recipe.read_text("utf-8").replace("dataloader_num_workers: 1", "dataloader_num_workers: 0"))
        arguments = ("--resume", run)
    goes_on_as_undisturbed(finesight, run, undisturbed)


def test_a_process_that_reads_ahead_and_dies_is_told(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path, undisturbed: Path
) -> None:
    run, real, decoded = tmp_path / "run", ImageFormatter.decode_images, []

    def die_at_last(self: ImageFormatter, images: Sequence[ImageSource]) -> torch.Tensor:
        if get_worker_info() is not None:
            decoded.append(images)
            if len(decoded) == 9:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFormatter, "decode_images", die_at_last)
        ended = finesight("run", write_recipe(**with_readers(1)), "--output", run)
    told_plainly(ended, run, 2, "a process that reads images ahead has died (")
    assert "hint: most often memory ran out: lower train.dataloader_num_workers; then go on" in ended.stderr
    goes_on_as_undisturbed(finesight, run, undisturbed)


def test_a_death_is_told_once_whoever_tells_it_first() -> None:
    """A reader's connection breaks before the system says that it has died."""
    said = signal.getsignal(signal.SIGCHLD)

    def say_it_late(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed.")

    signal.signal(signal.SIGCHLD, say_it_late)
    try:
        for told in (ConnectionResetError(104, "Connection reset by peer"), EOFError(), None):
            error = told or RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed.")
            with pytest.raises(UserError, match="images ahead has died"), deaths_told(), lost_readers_told():
                raise error
            signal.raise_signal(signal.SIGCHLD)
        with pytest.raises(RuntimeError, match="another"), deaths_told(), lost_readers_told():
            raise RuntimeError("another")
    finally:
        signal.signal(signal.SIGCHLD, said)


def test_a_loss_that_is_no_number_stops_the_run_and_spoils_nothing(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path, undisturbed: Path
) -> None:
    run, real = tmp_path / "run", trainer.learned_losses
    steps: list[None] = []

    def spoilt(*arguments: Any, **options: Any) -> torch.Tensor:
        return real(*arguments, **options) * (torch.nan if len(steps) == 7 else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        before_each_step(patch, lambda *_: steps.append(None))
        patch.setattr(trainer, "learned_losses", spoilt)
        ended = finesight("run", write_recipe(**with_readers(0)), "--output", run)
    told_plainly(ended, run, 1, "the loss is nan at step 7")
    assert [row[2] for row in losses(run) if row[1] == "train"] == [1, 2, 3, 4, 5, 6]
    goes_on_as_undisturbed(finesight, run, undisturbed)


def before_each_step(patch: pytest.MonkeyPatch, act: Callable[..., object]) -> None:
    real = BranchTrainer.training_step

    def acting(self: BranchTrainer, *arguments: Any, **options: Any) -> torch.Tensor:
        act(self)
        return real(self, *arguments, **options)

    patch.setattr(BranchTrainer, "training_step", acting)


def before_step(patch: pytest.MonkeyPatch, number: int, act: Callable[..., object]) -> None:
    before_each_step(patch, lambda self: act() if self.state.global_step + 1 == number else None)


def told_plainly(ended: Ended, run: Path, code: int, told: str) -> None:
    assert ended.code == code, ended.stderr
    assert told in ended.stderr
    assert "hint: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (f"go on with: finesight run --resume {run}" in ended.stderr) == (code == 2)


def goes_on_as_undisturbed(finesight: Finesight, run: Path, undisturbed: Path) -> None:
    resumed = finesight("run", "--resume", run)
    assert resumed.code == 0, resumed.stderr
    assert "going on from step " in resumed.stderr
    assert losses(run) == losses(undisturbed)
    assert scores(run) == scores(undisturbed)
