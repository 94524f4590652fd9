"""A checkpoint that is not what was written: never trusted, said, and the run ends as it would have."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import Finesight, contents, losses, scores, whole

from finesight.rundir import RunDir
from finesight.train import seal
from finesight.train.checkpoints import tidy_checkpoints
from finesight.train.seal import find_damage

RECIPE = {
    "train": {
        "max_steps": 12,
        "global_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "eval_steps": 4,
        "save_steps": 2,
        "save_total_limit": 9,
    }
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happens to."""
    return whole(tmp_path_factory.mktemp("undisturbed"), RECIPE)


@pytest.fixture(scope="module")
def broken_off_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was broken off behind step 11, with a checkpoint every other step."""
    folder, real = tmp_path_factory.mktemp("broken_off"), RunDir.append_metrics

    def until_step_11(self: RunDir, row: dict[str, object]) -> None:
        if row["step"] == 11:
            raise KeyboardInterrupt
        real(self, row)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDir, "append_metrics", until_step_11)
        whole(folder, RECIPE)
    return folder / "run"


@pytest.fixture
def broken_off(broken_off_once: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(broken_off_once, tmp_path / "run"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def write_rubbish(path: Path) -> None:
    path.write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "damage", "found"),
    [
        ("parts/language.safetensors", truncate, "parts/language.safetensors has 100 bytes instead of "),
        ("parts/language.safetensors", flip_a_bit, "parts/language.safetensors is not what was written"),
        ("optimizer.pt", truncate, "optimizer.pt has 100 bytes instead of "),
        ("optimizer.pt", flip_a_bit, "optimizer.pt is not what was written"),
        ("rng_state.pth", Path.unlink, "rng_state.pth is not there"),
        ("trainer_state.json", write_rubbish, "trainer_state.json has 1 bytes instead of "),
        ("files.json", write_rubbish, "files.json cannot be read"),
        ("files.json", Path.unlink, "files.json is not there"),
    ],
)
def test_damage_is_found(file: str, damage: Callable[[Path], None], found: str, broken_off: Path) -> None:
    checkpoint = broken_off / "checkpoints/tune/checkpoint-10"
    assert find_damage(checkpoint) == ""
    damage(checkpoint / file)
    assert find_damage(checkpoint).startswith(found)
    concerns_weights = file.startswith(("parts/", "files.json"))
    assert bool(find_damage(checkpoint, below=("adapters", "parts"))) == concerns_weights


def test_a_disk_that_does_not_give_a_file_back_is_damage(broken_off: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(seal, "_describe", refuse)
    damage = find_damage(broken_off / "checkpoints/tune/checkpoint-10")
    assert damage.endswith(" cannot be read: Input/output error")


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("parts/language.safetensors", flip_a_bit, "parts/language.safetensors is not what was written"),
        ("optimizer.pt", truncate, "optimizer.pt has 100 bytes instead of "),
        ("files.json", write_rubbish, "files.json cannot be read"),
        ("files.json", Path.unlink, "files.json is not there"),
    ],
)
def test_the_checkpoint_before_a_damaged_one_is_gone_on_from(
    file: str,
    damage: Callable[[Path], None],
    told: str,
    broken_off: Path,
    finesight: Finesight,
    undisturbed: Path,
) -> None:
    folder = broken_off / "checkpoints/tune"
    damage(folder / "checkpoint-10" / file)
    ended = finesight("run", "--resume", broken_off)
    assert ended.code == 0, ended.stderr
    assert f"warning: {folder / 'checkpoint-10'} is damaged ({told}" in ended.stderr
    assert "it is not used, and kept as damaged-checkpoint-10\n" in ended.stderr
    assert "going on from step 8 of 12" in ended.stderr
    assert (folder / "damaged-checkpoint-10").is_dir()
    assert losses(broken_off) == losses(undisturbed)
    assert scores(broken_off) == scores(undisturbed)


def test_a_damaged_best_checkpoint_is_trained_again(broken_off: Path, finesight: Finesight, undisturbed: Path) -> None:
    folder = broken_off / "checkpoints/tune"
    best = json.loads((folder / "best.json").read_text(encoding="utf-8"))
    assert best["step"] == 8
    truncate(folder / "checkpoint-8/parts/vision.safetensors")
    ended = finesight("run", "--resume", broken_off)
    assert ended.code == 0, ended.stderr
    assert f"{folder / 'checkpoint-8'}, the best one, is lost: training goes back to the one before it" in ended.stderr
    assert "later ones are kept as unused-checkpoint-10, which nothing uses\n" in ended.stderr
    assert "going on from step 6 of 12" in ended.stderr
    assert losses(broken_off) == losses(undisturbed)
    assert scores(broken_off) == scores(undisturbed)


def test_without_an_earlier_one_training_begins_anew_and_says_so(
    broken_off: Path, finesight: Finesight, undisturbed: Path
) -> None:
    folder = broken_off / "checkpoints/tune"
    for step in (2, 4, 6):
        shutil.rmtree(folder / f"checkpoint-{step}")
    truncate(folder / "checkpoint-8/parts/vision.safetensors")
    kept = contents(folder / "checkpoint-10")
    ended = finesight("run", "--resume", broken_off)
    assert ended.code == 0, ended.stderr
    assert (
        "the best one, is lost: training begins anew, for no earlier one is left; later ones are kept" in ended.stderr
    )
    assert "going on from step" not in ended.stderr
    assert contents(folder / "unused-checkpoint-10") == kept
    assert losses(broken_off) == losses(undisturbed)
    assert scores(broken_off) == scores(undisturbed)


def test_what_was_being_deleted_or_written_is_cleared_away(tmp_path: Path) -> None:
    for name in ("partial/checkpoint-3", "deleted-checkpoint-2", "damaged-checkpoint-1", "unused-checkpoint-1"):
        (tmp_path / name).mkdir(parents=True)
    tidy_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged-checkpoint-1", "unused-checkpoint-1"]


@pytest.mark.parametrize("text", ['{"oops"', "[]", "{}"])
def test_a_damaged_choice_of_the_best_checkpoint_is_made_again(
    text: str, broken_off: Path, finesight: Finesight, undisturbed: Path
) -> None:
    best = broken_off / "checkpoints/tune/best.json"
    best.write_text(text, encoding="utf-8")
    asked = finesight("ask", broken_off, next((broken_off / "thumbs").iterdir()), "what is it?")
    assert asked.code == 2
    assert f"{best} is damaged, and does not say which checkpoint is the best one" in asked.stderr
    ended = finesight("run", "--resume", broken_off)
    assert ended.code == 0, ended.stderr
    assert "it is kept as damaged-best.json, and the best checkpoint chosen again" in ended.stderr
    assert best.with_name("damaged-best.json").read_text("utf-8") == text
    assert best.read_bytes() == (undisturbed / "checkpoints/tune/best.json").read_bytes()
    assert losses(broken_off) == losses(undisturbed)


def test_figures_that_are_gone_are_said(broken_off: Path, finesight: Finesight) -> None:
    file = broken_off / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:5]), encoding="utf-8")
    ended = finesight("run", "--resume", broken_off)
    assert ended.code == 0, ended.stderr
    last = json.loads(lines[4])["step"]
    assert f"warning: metrics.jsonl ends at step {last}, and the checkpoint is of step 10: the lines" in ended.stderr


def test_the_best_checkpoint_of_a_finished_run_is_not_used_when_it_is_damaged(
    finesight: Finesight, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    name = json.loads((run / "checkpoints/tune/best.json").read_text(encoding="utf-8"))["checkpoint"]
    flip_a_bit(run / f"checkpoints/tune/{name}/parts/language.safetensors")
    asked = finesight("ask", run, next((run / "thumbs").iterdir()), "what is it?")
    assert asked.code == 2
    assert (
        f"{name}: the best checkpoint is damaged (parts/language.safetensors is not what was written)" in asked.stderr
    )
    assert (
        "hint: restore it from a copy, or let `finesight run --resume` train again from the one before" in asked.stderr
    )
    resumed = finesight("run", "--resume", run)
    assert resumed.code == 0, resumed.stderr
    assert "the best one, is lost" in resumed.stderr
    assert losses(run) == losses(undisturbed)
    assert scores(run) == scores(undisturbed)
    assert finesight("ask", run, next((run / "thumbs").iterdir()), "what is it?").code == 0
