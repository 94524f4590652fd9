"""Guards on several processes: what one of them meets, all of them act on in the same step, and one writes it down."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared_runs import RECIPE, TRAIN, Pair, rows, run_alone
from spoilt_losses import Spoilt

from finesight.train import trainer

pytestmark = pytest.mark.distributed

TUNE = {"vision": "frozen", "projector": "full", "language": {"method": "lora", "r": 2, "lora_dropout": 0.0}}
SPOILT = 3


def write_recipe(folder: Path, policy: str) -> Path:
    path = folder / "recipe.yaml"
    train = {**TRAIN, "max_steps": 5, "guards": {"on_bad_loss": policy}}
    stages = [{"name": "tune", "tune": TUNE, "train": train}]
    path.write_text(yaml.safe_dump({**RECIPE, "stages": stages}), encoding="utf-8")
    return path


def losses(run: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in rows(run) if row["kind"] == "train"}


def incidents(run: Path) -> list[dict[str, Any]]:
    return [row for row in rows(run) if row["kind"] == "guard"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process's run, with the same step left out."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "learned_losses", trainer.learned_losses)
        Spoilt(SPOILT, rank=0)(0)
        return run_alone(write_recipe(folder, "skip"), folder / "run")


@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_a_step_is_left_out_on_all(engine: str, alone: Path, pair: Pair, tmp_path: Path) -> None:
    run, spoilt = tmp_path / "run", Spoilt(SPOILT, rank=1)
    ended = pair(write_recipe(tmp_path, "skip"), "--output", run, engine=engine, before=spoilt)
    assert ended.codes == (0, 0), ended.told
    assert ended.told.count(f"left out: the loss is nan at step {SPOILT} of stage tune") == 1
    assert [(row["step"], row["action"]) for row in incidents(run)] == [(SPOILT, "skip")]
    expected, found = losses(alone), losses(run)
    assert math.isnan(found.pop(SPOILT)) and math.isnan(expected.pop(SPOILT))
    assert found == pytest.approx(expected, rel=1e-4), "as the run of one process that has left out the same step"
    branches = json.loads((run / incidents(run)[0]["batch"] / "batch.json").read_text("utf-8"))["branches"]
    assert len(branches) == TRAIN["global_batch_size"], "the batch is that of all processes"
    bad = [branch for branch in branches if branch["loss"] == "nan"]
    assert 0 < len(bad) < len(branches), "and says which questions did it"


def test_all_stop_and_what_happened_is_written(pair: Pair, tmp_path: Path) -> None:
    run, spoilt = tmp_path / "run", Spoilt(SPOILT, rank=1)
    ended = pair(write_recipe(tmp_path, "stop"), "--output", run, before=spoilt)
    assert ended.codes == (1, 1), ended.told
    assert ended.told.count(f"the loss is nan at step {SPOILT} of stage tune; the batch is in") == 1, ended.told
    assert "Traceback" not in ended.told
    assert ended.told.count("what there is so far: ") == 1
    (incident,) = incidents(run)
    assert (incident["step"], incident["action"]) == (SPOILT, "stop")
    assert (run / incident["batch"] / "batch.json").is_file()
    assert json.loads((run / "end.json").read_text("utf-8"))["how"] == "failed"
    assert "the training was stopped" in (run / "report.html").read_text("utf-8")
