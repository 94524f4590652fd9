"""A recipe's plan: which rows it is of, what fits, what to change, and several GPUs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from finesight.cli.main import build
from finesight.errors import ModelError, UserError
from finesight.plan.assumed import AssumedRows, assume_rows
from finesight.plan.changes import KINDS, Change, Situation, command_line
from finesight.plan.engines import bytes_by_engine
from finesight.plan.plan import describe_stage, plan_recipe
from finesight.plan.rows import RealRows, find_rows
from finesight.plan.simulate import Simulated
from finesight.plan.stage_plan import fits, plan_stage
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe
from finesight.report.planning import engine_lines, plan_lines
from finesight.train.memory import Peak

GIB = 2**30


@pytest.fixture
def recipe(make_spec: Callable[..., Any]) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        settings: dict[str, Any] = {
            "name": "small",
            "model": make_spec(dtype="float32").model_dump(exclude_none=True),
            "data": {
                "max_length": 256,
                "train": [{"kind": "scenes", "scenes": 20, "questions_per_scene": 4, "image_size": 32}],
                "split": {"validation": 0.2, "test": 0.2},
            },
            "tune": {"vision": "full", "projector": "full", "language": "full"},
            "train": {"max_steps": 5, "global_batch_size": 8},
            "evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 6}],
        }
        return Recipe.model_validate({**deepcopy(settings), **changes})

    return make


def test_rows_are_the_recipes_own_where_its_data_are_there(recipe: Callable[..., Recipe]) -> None:
    rows = find_rows(recipe(), Path())
    assert isinstance(rows, RealRows)
    stage = recipe().each_stage()[0]
    whole, halved = (rows.workload(stage, max_tokens=tokens, gpus=1) for tokens in (8192, rows.longest))
    assert whole.steps == 5
    assert whole.largest.batches_a_step == 1
    batch = whole.largest.training[0].layout
    assert int(batch.learned.any(dim=1).sum()) == len(batch.input_ids)
    # A row at a time: more batches, and none larger than what may be in the model at once.
    assert halved.largest.batches_a_step > 1
    assert halved.largest.training[0].layout.input_ids.numel() <= rows.longest
    # Evaluated rows are as long as with their answers.
    assert whole.largest.answering.layout.input_ids.numel() <= 8192
    assert whole.largest.questions >= 1


def test_rows_are_assumed_and_said_so_where_the_data_are_not_there(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    data = {"max_length": 100, "train": [{"kind": "vqa_json", "file": "none.json", "images": "none"}]}
    rows = find_rows(recipe(data=data), tmp_path)
    assert isinstance(rows, AssumedRows)
    assert "none.json" in rows.because
    work = rows.workload(recipe().each_stage()[0], max_tokens=350, gpus=1)
    assert work.largest.training[0].layout.input_ids.shape == (3, 100)
    assert work.largest.training[0].layout.learned.sum() == 3 * 6
    assert work.largest.training[0].pixels is not None
    assert work.largest.training[0].pixels["pixel_values"].shape == (3, 3, 32, 32)
    assert work.largest.batches_a_step == 3
    assert work.largest.answering.layout.input_ids.shape == (3, 106)


@pytest.mark.parametrize("crops", ["single", "several"])
@pytest.mark.parametrize("year", ["2024", "2025"])
def test_crops_of_a_moondream_are_of_a_picture_that_is_told(
    make_spec: Callable[..., Any], recipe: Callable[..., Recipe], year: str, crops: str
) -> None:
    model = make_spec("moondream", year, crops=crops, dtype="float32")
    data = {"max_length": 64, "train": [{"kind": "vqa_json", "file": "none.json", "images": "none"}]}
    asked = recipe(model=model.model_dump(exclude_none=True), data=data, tune={"language": {"method": "lora"}})
    plan = plan_recipe(asked, Path(), max_tokens=256)
    assert ("(of 1,024 × 768 pixels)" in next(plan_lines(plan, 100))) == (crops == "several")
    assert plan["stages"][0]["training"]["total"] > 0


def test_a_family_that_only_its_processor_knows_shows_a_picture_that_is_told(
    make_spec: Callable[..., Any], recipe: Callable[..., Recipe]
) -> None:
    data = {"max_length": 200, "train": [{"kind": "vqa_json", "file": "none.json", "images": "none"}]}
    tune = {"language": {"method": "lora"}}
    model = make_spec("hf", "smolvlm", dtype="float32").model_dump(exclude_none=True)
    plan = plan_recipe(recipe(model=model, data=data, tune=tune), Path(), max_tokens=400)
    assert plan["rows"]["picture_pixels"] == (1024, 768)
    assert plan["rows"]["image_tokens"] > 16
    assert plan["stages"][0]["largest_batch"] == {"rows": 2, "tokens": 200, "learned_tokens": 12}


def test_an_image_must_fit_into_the_longest_row(recipe: Callable[..., Recipe]) -> None:
    data = {"max_length": 16, "train": [{"kind": "scenes"}]}
    with pytest.raises(UserError, match="an image alone takes 16 tokens"):
        assume_rows(recipe(data=data), Path(), "")


@pytest.mark.parametrize(("held", "gib", "answer"), [(14, 16, "yes"), (15, 16, "barely"), (17, 16, "no")])
def test_what_fits(held: int, gib: float, answer: str) -> None:
    assert fits(held * GIB, gib) == answer


def test_a_plan_says_what_fits_and_what_to_change(recipe: Callable[..., Recipe]) -> None:
    free = plan_recipe(recipe(), Path(), max_tokens=8192)
    assert [(answer["gib"], answer["fits"]) for answer in free["fits"]] == [(g, "yes") for g in (16, 24, 48, 80)]
    assert "changes" not in free
    (stage,) = free["stages"]
    assert free["peak_gib"] == max(stage[kind]["total"] for kind in ("training", "evaluation"))
    limit = free["peak_gib"] * 0.9
    tight = plan_recipe(recipe(), Path(), max_tokens=8192, gpu_memory_gib=limit)
    assert tight["changes"]
    assert all(change["fits"] == "yes" and change["peak_gib"] <= limit * 0.9 + 0.001 for change in tight["changes"])
    operations = [change["operations"] for change in tight["changes"]]
    assert operations == sorted(operations)
    text = "\n".join(plan_lines(tight, 100))
    assert tight["changes"][0]["settings"][0] in text
    assert "the recipe's own" in text


def test_what_loading_refuses_is_not_planned(recipe: Callable[..., Recipe]) -> None:
    model = {**recipe().model.model_dump(exclude_none=True), "quantization": {}}
    tune = {"projector": "full", "language": {"method": "lora"}}
    with pytest.raises(ModelError, match="an assembled model cannot be quantised"):
        plan_recipe(recipe(model=model, tune=tune), Path(), max_tokens=8192)


def test_reasons_are_told_in_a_line() -> None:
    rows = {
        "from": "assumed", "because": "a.json: file not found\nb.json: file not found", "tokens": 64,
        "image_tokens": 0, "learned_tokens": 8,
    }  # fmt: skip
    (line, *_) = plan_lines({"rows": rows, "stages": [], "gpus": 1, "fits": []}, 100)
    assert line.endswith("cannot be read: a.json: file not found (and 1 more)")


def test_a_stage_that_fits_already_is_planned_again_with_the_change(recipe: Callable[..., Recipe]) -> None:
    train = {"max_steps": 5, "global_batch_size": 8}
    small = {"name": "small", "tune": {"projector": "full"}, "train": train}
    large = {"name": "large", "tune": {"vision": "full", "projector": "full", "language": "full"}, "train": train}
    staged = recipe(stages=[small, large], tune=None, train=None)
    free = plan_recipe(staged, Path(), max_tokens=8192)
    warm_up = free["stages"][0]["peak_gib"]
    # The first stage fits, barely within the nine tenths, and the second does not.
    tight = plan_recipe(staged, Path(), max_tokens=8192, gpu_memory_gib=(warm_up + 0.0005) / 0.9)
    smaller = [each for each in tight["changes"] if each["settings"][0].startswith("--max-tokens")]
    assert smaller
    assert all(each["peak_gib"] < warm_up for each in smaller)


def test_what_cannot_fit_is_told_with_the_nearest(recipe: Callable[..., Recipe]) -> None:
    plan = plan_recipe(recipe(), Path(), max_tokens=8192, gpu_memory_gib=0.000001)
    (nearest,) = plan["changes"]
    assert nearest["fits"] == "no"
    assert len(nearest["settings"]) > 1
    assert nearest["peak_gib"] < plan["peak_gib"]


def simulated() -> Simulated:
    """Return a model of 8 GiB, half of it in two layers, all of which learns."""
    training = Peak({"weights": 8 * GIB, "gradients": 8 * GIB, "optimizer": 16 * GIB, "activations": 4 * GIB})
    answering = Peak({"weights": 8 * GIB, "optimizer": 16 * GIB, "answer cache": GIB})
    return Simulated(
        training=training, answering=answering, weights=8 * GIB, gradients=8 * GIB, optimizer=16 * GIB,
        learning=2 * GIB, layers=(2 * GIB, 2 * GIB), parameters=2 * GIB, flops=1,
    )  # fmt: skip


def test_engines_share_what_they_document() -> None:
    two, eight = bytes_by_engine(simulated(), 2), bytes_by_engine(simulated(), 8)
    assert two["ddp"] == eight["ddp"] == 44 * GIB
    # Half of 32 GiB of weights, gradients and states is elsewhere; what is in no layer, and two layers, are gathered.
    assert two["fsdp"] == (36 - 16 + 8) * GIB
    for engine in ("fsdp", "zero2", "zero3"):
        assert eight[engine] < two[engine] < two["ddp"], engine
    assert two["zero2-offload"] < two["zero2"]


LORA = {"tune": {"language": {"method": "lora", "r": 2}}}
QUANTISED = {"kind": "llava", "name_or_path": "model", "quantization": {}}
SPREADING = {"fsdp", "zero2", "zero2-offload", "zero3"}


@pytest.mark.parametrize(
    ("changes", "rows_differ", "refused", "reason"),
    [
        ({}, False, set(), ""),
        ({**LORA, "model": QUANTISED}, False, SPREADING, "quantised weights"),
        ({"train": {"optim": "adafactor"}}, False, SPREADING, "train.optim: adafactor"),
        ({"train": {"fp16": True}}, False, SPREADING, "train.fp16"),
        ({"train": {"guards": {"on_spike": "skip"}}}, False, SPREADING - {"fsdp"}, "train.guards that leave steps out"),
        ({}, True, SPREADING, "rows of which some have an image and others none"),
    ],
)
def test_engines_that_cannot_train_a_stage_are_named_with_the_reason(
    recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    rows_differ: bool,
    refused: set[str],
    reason: str,
) -> None:
    monkeypatch.setattr("finesight.plan.stage_plan.simulate", lambda *_, **__: simulated())
    monkeypatch.setattr("finesight.plan.rows.differ", lambda _: rows_differ)
    asked = recipe()
    rows = find_rows(asked, Path())
    situation = Situation.of(recipe(**changes), rows, max_tokens=8192, gpus=2)
    plan = plan_stage(situation, situation.stages[0], data_root=Path(), device="cuda")
    assert set(plan.refused) == refused
    assert set(plan.bytes_by_engine) == {"ddp", *SPREADING} - refused
    lines = list(engine_lines(describe_stage(plan), 2))
    assert any(line.endswith(f": not with {reason}.") for line in lines) == bool(reason)


def test_several_gpus_are_judged_by_engine_and_engines_come_first(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finesight.plan.stage_plan.simulate", lambda *_, **__: simulated())
    plan = plan_recipe(recipe(), Path(), max_tokens=64, gpus=2, gpu_memory_gib=32)
    lines = list(plan_lines(plan, 100))
    verdict = next(line for line in lines if line.startswith("32 GiB on each of 2 GPUs: "))
    # 28 GiB by fsdp; 12 and its weights once more by zero2-offload; nine tenths of 32 are 28.8.
    engines = next(answer for answer in plan["fits"] if answer["gib"] == 32)["engines"]
    assert engines["fsdp"] == "yes"
    assert engines["ddp"] == "no"
    assert "does not fit by ddp" in verdict
    assert "fits by fsdp" in verdict
    first = plan["changes"][0]
    assert first["settings"] == [f"launch --gpus 2 --engine {first['engine']}"]
    assert [change["engine"] for change in plan["changes"] if "engine" in change] == [
        engine for engine in ("zero2", "fsdp", "zero3", "zero2-offload") if engines[engine] == "yes"
    ]
    assert any("launch --gpus 2 --engine fsdp: 28.00 GiB" in line and "by rule" in line for line in lines)


def test_why_zero3_may_hold_more_than_zero2_is_said() -> None:
    stage = {"engines": {"ddp": 9.0, "zero2": 5.0, "zero3": 6.0}, "engines_refused": {}}
    assert any("a billion weights gathered" in line for line in engine_lines(stage, 2))
    stage = {"engines": {"ddp": 9.0, "zero2": 6.0, "zero3": 5.0}, "engines_refused": {}}
    assert not any("gathered" in line for line in engine_lines(stage, 2))


STAGED = {
    "stages": [
        {"name": "one", "tune": {"projector": "full"}, "train": {"max_steps": 5, "bf16": True}},
        {
            "name": "two",
            "tune": {"vision": "full", "projector": "full", "language": "full"},
            "train": {"max_steps": 5, "learning_rate": {"vision": 1e-5, "projector": 1e-3, "language": 1e-4}},
        },
    ],
    "tune": None,
    "train": None,
}


UNTUNED = {**LORA, "model": {**QUANTISED, "quantization": "none"}}


@pytest.mark.parametrize(("changes", "possible"), [({}, 9), (STAGED, 9), (UNTUNED, 8)])
def test_what_is_printed_can_be_typed_and_gives_what_was_planned(
    recipe: Callable[..., Recipe], tmp_path: Path, changes: dict[str, Any], possible: int
) -> None:
    asked = recipe(**changes)
    situation = Situation.of(asked, assume_rows(recipe(), Path(), ""), max_tokens=8192, gpus=1)
    file = tmp_path / "recipe.yaml"
    file.write_text(asked.model_dump_json(exclude_none=True, by_alias=True), encoding="utf-8")
    made = [change for kind in KINDS for make in kind.makers if (change := make(situation))]
    assert len(made) == possible
    for change in made:
        words = shlex.split(" ".join(command_line([change])))
        typed = list(zip(words[::2], words[1::2], strict=True))
        changed = read_recipe(file, [field for flag, field in typed if flag == "--set"]).recipe
        assert changed.model == change.made.model
        for stage, planned in zip(changed.each_stage(), change.made.stages, strict=True):
            assert stage.tune == planned.tune
            assert stage.train.model_dump(exclude={"learning_rate"}) == planned.train.model_dump(
                exclude={"learning_rate"}
            )
        assert changed.data.max_length == change.made.rows.longest
        assert int(dict(typed).get("--max-tokens-per-device", 8192)) == change.made.max_tokens


def test_the_later_of_two_changes_to_one_setting_is_typed(recipe: Callable[..., Recipe]) -> None:
    situation = Situation.of(recipe(), find_rows(recipe(), Path()), max_tokens=8192, gpus=1)
    both = [Change({"--max-tokens-per-device": tokens}, "", situation) for tokens in ("768", "384")]
    assert command_line(both) == ["--max-tokens-per-device 384"]


def test_why_assumed_rows_give_no_whole_time_is_said(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    data = {"max_length": 64, "train": [{"kind": "vqa_json", "file": "none.json", "images": "none"}]}
    lasting = plan_recipe(recipe(data=data, train={}), tmp_path, max_tokens=64)
    assert any("only the data would tell" in line for line in plan_lines(lasting, 100))
    known = plan_recipe(recipe(data=data), tmp_path, max_tokens=64)
    assert not any("only the data would tell" in line for line in plan_lines(known, 100))


@pytest.mark.parametrize("tflops", ["inf", "nan", "0"])
def test_a_rate_is_one_that_a_gpu_may_have(tflops: str) -> None:
    done = CliRunner().invoke(build(), ["plan", "starter", "--tflops", tflops])
    assert done.exit_code == 2
    assert "--tflops" in done.output


@pytest.mark.parametrize("size", ["0", "9" * 400, "16 MB"])
def test_what_is_no_size_of_a_gpu_is_refused(size: str) -> None:
    done = CliRunner().invoke(build(), ["plan", "starter", "--gpu-memory", size])
    assert done.exit_code == 2
    assert "not a size" in done.output


def test_the_verb_prints_json_and_refuses_what_is_no_size(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe().model_dump_json(exclude_none=True, by_alias=True), encoding="utf-8")
    command = [sys.executable, "-m", "finesight", "plan", str(file), "--gpus", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["rows"]["from"] == "data"
    assert set(plan["stages"][0]["engines"]) == {"ddp", "fsdp", "zero2", "zero2-offload", "zero3"}
    refused = subprocess.run(
        [*command, "--gpu-memory", "much"], capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert refused.returncode == 2
    assert "--gpu-memory much: not a size" in refused.stderr
