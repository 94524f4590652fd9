"""Several stages, every kind of task, and what is opened again afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_runs import (
    FROM_QUESTIONS,
    Finesight,
    WriteRecipe,
    losses,
    read_json_lines,
    scores,
    whole,
    write_questions,
)

from finesight.rundir import RunDir

TRAIN = {"max_steps": 6, "global_batch_size": 8, "learning_rate": 2e-2, "logging_steps": 1, "eval_steps": 3}
LORA = {"method": "lora", "r": 16, "lora_alpha": 64}
TWO_STAGES: dict[str, Any] = {
    "data": FROM_QUESTIONS,
    "tune": None,
    "train": None,
    "stages": [
        {"name": "warmup", "tune": {"projector": "full"}, "train": TRAIN},
        {
            "name": "joint",
            "tune": {"projector": "full", "language": LORA},
            "train": {
                **TRAIN,
                "max_steps": 60,
                "eval_steps": 10,
                "learning_rate": {"projector": 1e-3, "language": 5e-3},
            },
        },
    ],
    "evaluate": [{"name": "held_out", "from": "test", "max_new_tokens": 64}],
}


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two stages, on pictures that are files."""
    folder = tmp_path_factory.mktemp("stages")
    write_questions(folder / "data")
    return whole(folder, TWO_STAGES)


def predictions(file: Path) -> dict[str, str]:
    return {record["id"]: record["prediction"] for record in read_json_lines(file)}


def test_two_stages_learn_one_after_the_other(two_stages: Path) -> None:
    rows = losses(two_stages)
    assert [row[0] for row in rows] == ["warmup"] * 8 + ["joint"] * 66
    stages = json.loads((two_stages / "parameters.json").read_text(encoding="utf-8"))["stages"]
    assert [stage["stage"] for stage in stages] == ["warmup", "joint"]
    tuning = [{part["part"]: part["tuning"] for part in stage["parts"]} for stage in stages]
    assert tuning == [
        {"vision": "frozen", "projector": "full", "language": "frozen"},
        {"vision": "frozen", "projector": "full", "language": "lora r=16"},
    ]
    checkpoints = two_stages / "checkpoints"
    for stage in ("warmup", "joint"):
        assert json.loads((checkpoints / stage / "best.json").read_text(encoding="utf-8"))["finished"]
    assert not list(checkpoints.glob("warmup/checkpoint-*/adapters"))
    assert list(checkpoints.glob("joint/checkpoint-*/adapters/language/adapter_model.safetensors"))
    assert list(checkpoints.glob("joint/checkpoint-*/parts/projector.safetensors"))
    after = predictions(two_stages / "evaluation/after/held_out.jsonl")
    assert after != predictions(two_stages / "evaluation/before/held_out.jsonl")


def test_a_run_stopped_in_its_second_stage_goes_on_there(
    two_stages: Path, finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path
) -> None:
    real, run = RunDir.append_metrics, tmp_path / "run"

    def counted(self: RunDir, row: dict[str, Any]) -> None:
        real(self, row)
        if (row["stage"], row["kind"], row["step"]) == ("joint", "train", 10):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "append_metrics", counted)
        ended = finesight("run", write_recipe(**TWO_STAGES), "--output", run)
    assert ended.code == 130
    assert "of stage joint" in ended.stderr
    ended = finesight("run", "--resume", run)
    assert ended.code == 0, ended.stderr
    # The validation that was due then is put off, and made up for.
    assert "joint: going on from step 10 of 60" in ended.stderr
    assert losses(run) == losses(two_stages)
    assert scores(run) == scores(two_stages)
    evaluation = Path("evaluation/after/held_out.jsonl")
    assert predictions(run / evaluation) == predictions(two_stages / evaluation)


def test_evaluate_and_ask_use_the_tuned_model(two_stages: Path, finesight: Finesight, tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    ended = finesight("evaluate", two_stages, "--output", evaluation)
    assert ended.code == 0, ended.stderr
    assert ended.last_line() == str(evaluation)
    after = predictions(two_stages / "evaluation/after/held_out.jsonl")
    assert predictions(evaluation / "evaluation/model/held_out.jsonl") == after
    blind = Path("evaluation/blind/held_out.jsonl")
    assert predictions(evaluation / blind) == predictions(two_stages / blind)
    ended = finesight("report", evaluation)
    assert ended.code == 2
    assert "scores.json" in ended.stderr

    before = predictions(two_stages / "evaluation/before/held_out.jsonl")
    for record in read_json_lines(two_stages / "evaluation/after/held_out.jsonl")[:2]:
        image = two_stages.parent / "data" / record["image"]
        ended = finesight("ask", two_stages, image, record["question"], "--json")
        answers = json.loads(ended.stdout)
        assert (answers["before"], answers["after"]) == (before[record["id"]], after[record["id"]])


def test_a_question_about_a_missing_picture(two_stages: Path, finesight: Finesight, tmp_path: Path) -> None:
    ended = finesight("ask", two_stages, tmp_path / "none.png", "Is it blue?")
    assert ended.code == 2
    assert "none.png: missing" in ended.stderr and "hint:" in ended.stderr


def test_a_checkpoint_that_is_gone_is_missed(
    two_stages: Path, finesight: Finesight, questions: Path, tmp_path: Path
) -> None:
    name = json.loads((two_stages / "checkpoints/joint/best.json").read_text(encoding="utf-8"))["checkpoint"]
    checkpoint = two_stages / "checkpoints/joint" / name
    checkpoint.rename(tmp_path / "elsewhere")
    try:
        ended = finesight("ask", two_stages, questions / "0.png", "Is it blue?")
    finally:
        (tmp_path / "elsewhere").rename(checkpoint)
    assert ended.code == 2
    assert f"{checkpoint}: the checkpoint is not there any more" in ended.stderr


def test_a_llava_folder_is_evaluated_and_tuned(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path
) -> None:
    from finesight.models.load import load_model
    from finesight.recipe.reading import read_recipe

    recipe = write_recipe(data=FROM_QUESTIONS)
    spec = read_recipe(recipe).recipe.model
    texts = ["Is it blue?", "Which shade?", "yes", "no"] * 9
    loaded = load_model(spec, data_root=tmp_path, seed=3, texts=lambda: texts)
    for part in (loaded.model, loaded.formatter.tokenizer, loaded.formatter.image_processor):
        part.save_pretrained(tmp_path / "llava")

    ended = finesight("evaluate", tmp_path / "llava", recipe, "--output", tmp_path / "evaluation", "--json")
    assert ended.code == 0, ended.stderr
    (task,) = json.loads(ended.stdout)["tasks"]
    assert sorted(task["scores"]) == ["blind", "majority", "majority_by_question_type", "model"]

    model = {"kind": "llava", "name_or_path": "llava", "chat_template": "plain"}
    run = tmp_path / "run"
    ended = finesight("run", write_recipe(data=FROM_QUESTIONS, model=model), "--output", run)
    assert ended.code == 0, ended.stderr
    answers = predictions(tmp_path / "evaluation/evaluation/model/held_out.jsonl")
    assert predictions(run / "evaluation/before/held_out.jsonl") == answers


def test_pictures_of_one_name_and_questions_without_a_picture(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path
) -> None:
    rows = json.loads((questions / "train.json").read_text(encoding="utf-8"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "test.json").write_text(json.dumps(rows), encoding="utf-8")
    for number in range(12):
        Image.new("RGB", (32, 32), (0, 255, number)).save(other / f"{number}.png")
    asked = {"from": "human", "value": "Is it so?"}, {"from": "gpt", "value": "yes"}
    (tmp_path / "text.json").write_text(json.dumps([{"conversations": asked}]), encoding="utf-8")
    limit = {"max_new_tokens": 6}
    recipe = write_recipe(
        data=FROM_QUESTIONS,
        train=TRAIN,
        evaluate=[
            {"name": "held_out", "from": "test", **limit},
            {"name": "other", "kind": "vqa_json", "file": "other/test.json", "images": "other", **limit},
            {"name": "text", "kind": "llava_json", "file": "text.json", "role": "forgetting", **limit},
        ],
    )
    run = tmp_path / "run"
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    for task, folder in (("held_out", questions), ("other", other)):
        for record in read_json_lines(run / "evaluation/after" / f"{task}.jsonl"):
            digest = hashlib.sha256((folder / record["image"]).read_bytes()).hexdigest()
            assert record["thumbnail"] == f"thumbs/{digest[:32]}.jpg"
            assert (run / record["thumbnail"]).is_file()
    measured = {task["name"]: set(task["scores"]) for task in scores(run)}
    assert {name for name, predictors in measured.items() if "blind" in predictors} == {"held_out", "other"}
    assert "majority" in measured["text"]


def test_every_kind_of_task_in_one_recipe(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    general = {"kind": "scenes", "scenes": 24, "first_scene": 1000, "questions_per_scene": 3, "image_size": 32}
    special = {"kind": "scenes", "scenes": 30, "questions_per_scene": 3, "image_size": 32}
    stopping = {"patience_steps": 100, "metric": "eval_watched"}
    replay = {**general, "role": "replay", "max_samples": 30}
    recipe = write_recipe(
        data={"train": [special, replay], "split": {"validation": 0.2, "test": 0.2}},
        train={"max_steps": 6, "global_batch_size": 8, "logging_steps": 2, "eval_steps": 3, "early_stopping": stopping},
        evaluate=[
            {"name": "held_out", "from": "test", "max_new_tokens": 6},
            {**general, "name": "general", "role": "forgetting", "max_samples": 20, "max_new_tokens": 6},
            {"name": "watched", "from": "validation", "max_new_tokens": 6},
            {"name": "learned", "from": "train", "role": "memorization", "max_samples": 12, "max_new_tokens": 6},
        ],
    )  # fmt: skip
    run = tmp_path / "run"
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    roles = {task["name"]: task["role"] for task in verdict["tasks"]}
    assert roles == {"held_out": "held_out", "general": "forgetting", "watched": "held_out", "learned": "memorization"}
    told = " ".join(verdict["headline"]["sentences"])
    assert [name for name in roles if f"{name}: " not in told] == []
    assert [name for name in roles if name not in ended.stdout] == []
    validations = [row for row in read_json_lines(run / "metrics.jsonl") if row["kind"] == "validation"]
    assert all(set(row["scores"]) == {"watched"} for row in validations)
    assert all(set(row["loss_by_role"]) == {"train", "replay"} for row in validations)
    sets = json.loads((run / "data.json").read_text(encoding="utf-8"))
    assert sets["leaks"] == []
    assert sets["sets"]["train"]["by_role"]["replay"] > 0
    best = json.loads((run / "checkpoints/tune/best.json").read_text(encoding="utf-8"))
    assert best["metric"] == "eval_watched"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert [name for name in roles if name not in page] == []


def test_a_stage_learns_from_its_own_sources_alone(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    scenes = {"kind": "scenes", "scenes": 30, "questions_per_scene": 3, "image_size": 32}
    stage = {"tune": {"projector": "full"}, "train": {**TRAIN, "max_steps": 4, "eval_steps": 2}}
    recipe = write_recipe(
        data={
            "train": [
                {**scenes, "name": "first"},
                {**scenes, "name": "second", "first_scene": 500},
                {**scenes, "name": "again", "first_scene": 900, "role": "replay"},
            ],
            "split": {"validation": 0.2, "test": 0.2},
        },
        tune=None,
        train=None,
        stages=[
            {"name": "begin", "sources": ["first"], **stage},
            {"name": "remember", "sources": ["again"], **stage},
            {"name": "go-on", **stage},
        ],
    )
    run = tmp_path / "run"
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    everything = {"first", "second", "again"}
    by_kind: dict[str, dict[str, set[str]]] = {"train": {}, "validation": {}}
    for row in read_json_lines(run / "metrics.jsonl"):
        by_kind[row["kind"]].setdefault(row["stage"], set()).update(row["loss_by_source"])
    assert by_kind["train"] == {"begin": {"first"}, "remember": {"again"}, "go-on": everything}
    # Replay alone chooses no checkpoint.
    assert by_kind["validation"] == {"begin": {"first"}, "remember": everything, "go-on": everything}
    checks = json.loads((run / "checks.json").read_text(encoding="utf-8"))["stages"][0]["checks"]
    told = {check["name"]: check["status"] for check in checks if check["name"].startswith("validation of")}
    assert told == {"validation of begin": "pass", "validation of remember": "warning"}


def test_evaluate_measures_the_tasks_asked_for_in_the_language_asked_for(
    finesight: Finesight, write_recipe: WriteRecipe, two_stages: Path, tmp_path: Path
) -> None:
    scenes = {"kind": "scenes", "scenes": 8, "questions_per_scene": 3, "image_size": 32}
    recipe = write_recipe(
        evaluate=[
            {"name": "held_out", "from": "test", "max_new_tokens": 6},
            {**scenes, "name": "general", "first_scene": 900, "max_new_tokens": 6},
        ],
    )
    output = tmp_path / "evaluation"
    ended = finesight(
        "evaluate", two_stages, recipe, "--task", "general", "--language", "ru", "--output", output, "--json"
    )
    assert ended.code == 0, ended.stderr
    (task,) = json.loads(ended.stdout)["tasks"]
    assert task["name"] == "general"
    assert sum(row["examples"] for row in task["by"]["question_type"]) == task["examples"] == 24
    records = read_json_lines(output / "evaluation/model/general.jsonl")
    assert all(record["tags"] == {"language": "ru"} for record in records)
    majority = read_json_lines(output / "evaluation/majority/general.jsonl")
    assert {record["prediction"] for record in majority}.isdisjoint({"yes", "no"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", "nothing"), "its tasks are held_out"),
        (("--language", "fr"), "scenes speak en and ru"),
    ],
)
def test_a_task_or_language_that_is_not_there_is_told(
    arguments: tuple[str, ...], told: str, finesight: Finesight, two_stages: Path
) -> None:
    ended = finesight("evaluate", two_stages, *arguments)
    assert ended.code == 2
    assert told in ended.stderr
