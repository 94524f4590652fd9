"""`--keep-images`: a run that takes its images from the disk is the run that it would have been without."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_runs import RECIPE, Finesight, WriteRecipe, losses, scores

from finesight import checking
from finesight.models.image_formatter import ImageFormatter
from finesight.rundir import RunDir

SMALL: dict[str, Any] = {
    "data": {
        "train": [{"kind": "scenes", "scenes": 12, "questions_per_scene": 2, "image_size": 32}],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "tune": {"vision": "frozen", "projector": "full", "language": "full"},
    "train": {"max_steps": 4, "global_batch_size": 4, "learning_rate": 5e-3, "logging_steps": 1, "eval_steps": 2},
}
TEXT: dict[str, Any] = {
    "model": {
        "kind": "text",
        "config": RECIPE["model"]["language"]["config"],
        "tokenizer": {"vocab_size": 400},
        "chat_template": "plain",
    },
    "data": {
        "train": [{"kind": "scenes", "scenes": 12, "questions_per_scene": 2, "context": "svg"}],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "tune": {"language": "full"},
}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINESIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept_files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


def refuse_to_decode(*_: object) -> None:
    pytest.fail("an image was prepared, although all are kept")


@pytest.mark.parametrize("kind", ["pixels", "features"])
def test_a_run_is_the_same_and_the_next_one_prepares_nothing(
    kind: str,
    finesight: Finesight,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    empty_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_recipe(**SMALL)
    plain, kept, again = (tmp_path / name for name in ("plain", "kept", "again"))
    assert finesight("run", recipe, "--output", plain).code == 0
    assert kept_files(empty_cache) == []
    ended = finesight("run", recipe, "--output", kept, "--keep-images", kind)
    assert ended.code == 0, ended.stderr
    assert f"{kind} of 12 images are kept:" in ended.stderr
    assert len(kept_files(empty_cache)) == 12
    for one, same in zip(losses(kept), losses(plain), strict=True):
        assert one[:3] == same[:3]
        assert one[3] == pytest.approx(same[3], abs=1e-4)
    assert scores(kept)[0]["scores"] == scores(plain)[0]["scores"]

    monkeypatch.setattr(ImageFormatter, "decode_images", refuse_to_decode)
    # The steps that are tried before a run come before what is kept: nothing is written for a run that cannot work.
    monkeypatch.setattr(checking, "preflight_stages", lambda *_, **__: {})
    ended = finesight("run", recipe, "--output", again, "--keep-images", kind)
    assert ended.code == 0, ended.stderr
    assert "are kept:" not in ended.stderr
    assert losses(again) == losses(kept)


def test_a_stopped_run_goes_on_with_what_is_kept(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, whole, stopped = write_recipe(**SMALL), tmp_path / "whole", tmp_path / "stopped"
    assert finesight("run", recipe, "--output", whole, "--keep-images", "features").code == 0
    append = RunDir.append_metrics

    def stop_at_the_third(self: RunDir, row: dict[str, Any]) -> None:
        append(self, row)
        if len(self.metrics()) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "append_metrics", stop_at_the_third)
        assert finesight("run", recipe, "--output", stopped, "--keep-images", "features").code == 130
    monkeypatch.setattr(ImageFormatter, "decode_images", refuse_to_decode)
    ended = finesight("run", "--resume", stopped, "--keep-images", "features")
    assert ended.code == 0, ended.stderr
    assert losses(stopped) == losses(whole)
    assert scores(stopped) == scores(whole)


def test_a_rehearsal_keeps_the_images_of_its_stand_ins(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, empty_cache: Path
) -> None:
    ended = finesight(
        "run", write_recipe(**SMALL), "--output", tmp_path / "run", "--rehearse", "--keep-images", "features"
    )
    assert ended.code == 0, ended.stderr
    assert kept_files(empty_cache)


@pytest.mark.parametrize(
    ("sections", "choice", "told"),
    [
        ({**SMALL, "tune": RECIPE["tune"]}, "features", "the recipe tunes the vision encoder"),
        (TEXT, "pixels", "a text model sees no images to keep"),
        (TEXT, "fastest", "a text model sees no images to keep"),
    ],
    ids=["vision is tuned", "text", "text, measured"],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    sections: dict[str, Any],
    choice: str,
    told: str,
    finesight: Finesight,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    empty_cache: Path,
) -> None:
    ended = finesight("run", write_recipe(**sections), "--output", tmp_path / "run", "--keep-images", choice)
    assert ended.code == 2
    assert told in ended.stderr
    assert not (tmp_path / "run").exists()
    assert kept_files(empty_cache) == []


def test_what_is_not_offered_is_refused(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    ended = finesight("run", write_recipe(**SMALL), "--keep-images", "everything")
    assert ended.code == 2
    assert "fastest" in ended.stderr
