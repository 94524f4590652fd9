"""A run that guards stop leaves a page that says why, and everything that was learned before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Finesight, WriteRecipe

from finesight.train import trainer


def test_a_run_that_guards_stop_has_its_page(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = trainer.learned_losses, 0

    def spoilt(*given: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return real(*given) * (torch.nan if steps == 7 else 1.0)

    monkeypatch.setattr(trainer, "learned_losses", spoilt)
    run = tmp_path / "run"
    ended = finesight("run", write_recipe(), "--output", run)
    assert ended.code == 1
    assert ended.stderr.count("the loss is nan at step 7 of stage tune; the batch is in") == 1
    assert f"what there is so far: {run / 'report.html'}" in ended.stderr
    assert "hint: likely: " in ended.stderr
    page = (run / "report.html").read_text("utf-8")
    assert "tune, step 7: loss, the training was stopped" in page
    assert "guards/tune-step-7/batch.json" in page
    assert json.loads((run / "end.json").read_text("utf-8"))["message"].startswith("the loss is nan at step 7")
    assert (run / "checkpoints" / "tune" / "checkpoint-4" / "trainer_state.json").is_file()


def test_a_run_that_does_not_begin_has_none(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(data={"train": [{"kind": "vqa_json", "file": "nothing.json", "images": "."}]})
    ended = finesight("run", recipe, "--output", tmp_path / "run")
    assert ended.code == 2
    assert "what there is so far" not in ended.stderr
    assert not (tmp_path / "run").exists()
