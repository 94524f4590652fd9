"""Two processes make of a recipe what one makes of it, whatever engine trains; one goes on where another stopped.

All engines are one start of two processes, one after another: what a start imports takes longer than a run.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from shared_runs import (
    DRIVER,
    ENGINES,
    FEW_TOKENS,
    answers,
    cut_short,
    environment_of,
    is_installed,
    require_engine,
    rows,
    run_alone,
    torchrun,
)

from finesight.export import export_run
from finesight.rundir import RunDir

pytestmark = pytest.mark.distributed

TOLD_BY_STEP = ("kind", "stage", "step", "epoch", "learned_tokens", "examples", "tokens", "learning_rate")


def require_equal_course(run: Path, expected: Path) -> None:
    """Compare the lines of metrics.jsonl: what was counted is equal, losses and gradients are to 1e-6."""
    found, wanted = rows(run), rows(expected)
    assert [_counted(row) for row in found] == [_counted(row) for row in wanted]
    for row, other in zip(found, wanted, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert row["loss_by_source"] == pytest.approx(other["loss_by_source"], rel=1e-6)
        if row["kind"] == "train":
            assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in TOLD_BY_STEP if name in row}


def require_equal_checkpoint(checkpoint: Path, expected: Path) -> None:
    """Compare the files that hold weights and the optimizer's states: the same names, forms and values."""
    weights = sorted(path.relative_to(expected) for path in expected.rglob("*.safetensors"))
    assert sorted(path.relative_to(checkpoint) for path in checkpoint.rglob("*.safetensors")) == weights
    assert weights
    for file in weights:
        found, wanted = load_file(checkpoint / file), load_file(expected / file)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            # AdamW makes steps of 5e-3, also of the rounding errors of a gradient that is nothing, as a key bias has.
            assert found[name].dtype == tensor.dtype
            assert torch.allclose(found[name], tensor, atol=1e-2 if "k_proj.bias" in name else 1e-4), name
    found, wanted = (torch.load(folder / "optimizer.pt", weights_only=True) for folder in (checkpoint, expected))
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys()
    for number, state in wanted["state"].items():
        assert {name: value.shape for name, value in found["state"][number].items()} == {
            name: value.shape for name, value in state.items()
        }
        assert found["state"][number]["step"] == state["step"]
        assert torch.allclose(found["state"][number]["exp_avg_sq"], state["exp_avg_sq"], rtol=1e-3, atol=1e-9)


@pytest.fixture(scope="session")
def several(alone: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of two processes for each engine: one from the beginning, one that another began."""
    folder, asked = tmp_path_factory.mktemp("together"), []
    for engine in filter(is_installed, ENGINES):
        resumed = cut_short(alone, folder / f"{engine}-resumed")
        asked += [f"{engine}={folder / engine}", f"{engine}={resumed}"]
    command = torchrun(DRIVER, recipe_file, FEW_TOKENS, *asked)
    ended = subprocess.run(command, env=environment_of("ddp"), capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("joint: going on from step 2 of 4") == len(asked) / 2, "one process speaks"
    assert not list(folder.rglob("*.partial")), "nothing is left over"
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_do_what_one_does_and_continue_one_anothers_runs(
    engine: str, alone: Path, recipe_file: Path, tmp_path: Path, several: Path
) -> None:
    require_engine(engine)
    for run in (several / engine, several / f"{engine}-resumed"):
        require_equal_course(run, alone)
        require_equal_checkpoint(run / "checkpoints/joint/checkpoint-4", alone / "checkpoints/joint/checkpoint-4")
        assert answers(run) == answers(alone)
    back = cut_short(several / engine, tmp_path / "back")
    require_equal_course(run_alone(recipe_file, back), alone)


@pytest.mark.parametrize("engine", ["fsdp", "zero3"])
def test_what_was_trained_in_pieces_is_exported_whole(engine: str, several: Path, tmp_path: Path) -> None:
    require_engine(engine)
    agreement = export_run(RunDir.existing(several / engine), tmp_path / "exported", questions=8)
    assert agreement.questions == agreement.same == 8
