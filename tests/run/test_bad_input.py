"""Bad input: a message with a hint, exit code 2, and nothing left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from small_runs import FROM_QUESTIONS, RECIPE, Finesight, WriteRecipe, contents

LLAVA = {"kind": "llava", "name_or_path": "checkpoint"}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(finesight: Finesight, recipe: Path, *told: str, code: int = 2) -> str:
    """Run the recipe; it must end with `code`, say what is `told`, and leave every file as it was."""
    folder = recipe.parent
    before = contents(folder)
    ended = finesight("run", recipe, "--output", folder / "run")
    assert ended.code == code, ended.stderr
    assert [words for words in told if words not in ended.stderr] == [], ended.stderr
    assert "hint" in ended.stderr or "must be" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert contents(folder) == before
    assert not (folder / "run").exists()
    return ended.stderr


def test_a_layer_that_a_later_stage_would_look_for_in_vain(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    misspelt = {"method": "lora", "target_modules": ["q_porj"]}
    stages = [{"name": "first", "tune": {"projector": "full"}}, {"name": "second", "tune": {"language": misspelt}}]
    recipe = write_recipe(tune=None, train=None, stages=stages)
    refused(finesight, recipe, "tune.language.target_modules: no linear layer of this part is called q_porj")


def test_weights_in_float16_are_not_tuned_in_full(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe(model={**RECIPE["model"], "dtype": "float16"})
    refused(finesight, recipe, "precision of tune: vision, projector, language would be tuned in full", code=1)


def edit_rows(data: Path, number: int, **cells: object) -> None:
    file = data / "train.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    rows[number].update(cells)
    file.write_text(json.dumps(rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"trian": {}}, "trian: there is no such field here (hint: did you mean `train`?)"),
        ({"train": {"learning_rat": 1}}, "train.learning_rat: there is no such field here"),
        ({"seed": "seven"}, "seed: must be a whole number, not `seven`"),
        ({"train": {"max_steps": [1, 2]}}, "train.max_steps: "),
        ({"train": {"lr_scheduler_type": "cosin"}}, "train.lr_scheduler_type: "),
        ({"train": {"optim": "adam"}}, "train.optim: "),
        (
            {"train": {"early_stopping": {"patience_steps": 5, "metric": "eval_watched"}}},
            "train.early_stopping.metric: must be a figure of a validation, which gives eval_loss",
        ),
        (
            {"data": {"train": [{"kind": "scenes", "role": "held_out"}]}},
            "a source's role is train or replay, and not held_out",
        ),
        (
            {"evaluate": [{"name": "held_out", "from": "test", "role": "replay"}]},
            "evaluate.0.role: must be `held_out`, `forgetting` or `memorization`, not `replay`",
        ),
        (
            {"model": {**LLAVA, "quantization": {}}, "tune": {"language": "full"}},
            "quantised weights cannot be tuned in full",
        ),
        (
            {
                "model": {**LLAVA, "quantization": {}},
                "tune": None,
                "train": None,
                "stages": [{"name": name, "tune": {"language": {"method": "lora"}}} for name in ("first", "second")],
            },
            "adapters cannot be merged into quantised weights",
        ),
    ],
)
def test_a_recipe_with_a_fault(
    finesight: Finesight, write_recipe: WriteRecipe, sections: dict[str, Any], told: str
) -> None:
    text = refused(finesight, write_recipe(**sections), told)
    assert "recipe.yaml:" in text, "the line is named"


def test_an_alias_bomb(finesight: Finesight, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(BOMB, encoding="utf-8")
    refused(finesight, recipe, "aliases")


def test_a_missing_data_file(finesight: Finesight, write_recipe: WriteRecipe, questions: Path) -> None:
    (questions / "train.json").rename(questions / "training.json")
    refused(finesight, write_recipe(data=FROM_QUESTIONS), "train.json", "not found", "did you mean `training.json`?")


def test_missing_and_corrupt_images_are_named_and_counted_at_once(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    (questions / "1.png").unlink()
    (questions / "3.png").unlink()
    (questions / "5.png").write_bytes((questions / "5.png").read_bytes()[:40])
    (questions / "7.png").write_bytes(b"not a picture")
    missing = "image file missing: 4 rows (row 3: 1.png, row 4: 1.png, row 7: 3.png, row 8: 3.png)"
    told = refused(finesight, write_recipe(data=FROM_QUESTIONS), missing, "image cannot be used: 2 ")
    assert "5.png: " in told and "7.png: not an image" in told

    for number in (1, 3):
        (questions / f"{number}.png").write_bytes((questions / "0.png").read_bytes())
    told = refused(finesight, write_recipe(data=FROM_QUESTIONS), "2 images cannot be used")
    assert "5.png: " in told and "7.png: not an image" in told


@pytest.mark.parametrize("content", ["[]", "", "\n \n"])
def test_an_empty_data_set(finesight: Finesight, write_recipe: WriteRecipe, questions: Path, content: str) -> None:
    (questions / "train.json").write_text(content, encoding="utf-8")
    refused(finesight, write_recipe(data=FROM_QUESTIONS), "train.json", "empty" if not content.strip() else "no rows")


def test_rows_without_an_answer_are_counted(finesight: Finesight, write_recipe: WriteRecipe, questions: Path) -> None:
    edit_rows(questions, 2, answer="")
    edit_rows(questions, 9, answer=None)
    refused(finesight, write_recipe(data=FROM_QUESTIONS), "train.json", "no answer", "2 rows (row 3, row 10)")


def test_nothing_is_left_to_validate_on(finesight: Finesight, write_recipe: WriteRecipe, questions: Path) -> None:
    data = {**FROM_QUESTIONS, "split": {"validation": 0.0, "test": 0.2}}
    refused(finesight, write_recipe(data=data), "validation set is empty")


def test_a_step_that_cannot_be_filled(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    refused(finesight, write_recipe(train={"global_batch_size": 500}), "a step of 500 examples cannot be filled")


def test_questions_over_the_length_are_counted_and_never_cut(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    long = "Is it blue? " * 40
    edit_rows(questions, 0, question=long)
    edit_rows(questions, 2, question=long)
    edit_rows(questions, 4, question=long)
    data: Mapping[str, Any] = {**FROM_QUESTIONS, "max_length": 60}
    refused(finesight, write_recipe(data=data), "have more than 60 tokens", "over_length: drop")

    recipe = write_recipe(data={**data, "over_length": "drop"})
    run = recipe.parent / "run"
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    dropped = json.loads((run / "data.json").read_text(encoding="utf-8"))["dropped"]
    assert sum(entry["examples"] for entry in dropped) == 3
    assert {name for entry in dropped for name in entry["first"]} == {"train:1", "train:3", "train:5"}
    assert all(entry["reason"] == "over 60 tokens" for entry in dropped)
    assert "over 60 tokens" in (run / "report.html").read_text(encoding="utf-8")


def test_all_questions_over_the_length_leave_nothing(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    data = {**FROM_QUESTIONS, "max_length": 5, "over_length": "drop"}
    refused(finesight, write_recipe(data=data), "have more than 5 tokens", "raise data.max_length")


def test_a_folder_that_is_no_checkpoint(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    refused(finesight, write_recipe(model=LLAVA), "checkpoint: no such checkpoint folder")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "notes.txt").write_text("nothing", encoding="utf-8")
    refused(finesight, write_recipe(model=LLAVA), "checkpoint: no model can be found there")
    (tmp_path / "checkpoint" / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    refused(finesight, write_recipe(model=LLAVA), "a model of type 'llama', not LLaVA")


def test_a_checkpoint_without_weights(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    from finesight.models.assemble import assembled_config
    from finesight.recipe.model import AssembledModel

    config = assembled_config(AssembledModel.model_validate(RECIPE["model"]), tmp_path)
    config.save_pretrained(tmp_path / "checkpoint")
    refused(finesight, write_recipe(model=LLAVA), "checkpoint: the folder has no weights")


def test_a_hub_name_without_the_network(
    finesight: Finesight, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = {"kind": "llava", "name_or_path": "nobody/no-such-llava"}
    refused(finesight, write_recipe(model=model), "nobody/no-such-llava: no model can be found there", "the network")


def test_an_output_folder_that_holds_another_run(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe()
    run = recipe.parent / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("name: other\n", encoding="utf-8")
    before = contents(run)
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 2
    assert f"{run}: the output folder holds another run" in ended.stderr
    assert f"--resume {run}" in ended.stderr
    assert contents(run) == before
    (run / "recipe.yaml").rename(run / "novel.txt")
    assert "holds something else" in finesight("run", recipe, "--output", run).stderr
    assert [path.name for path in run.iterdir()] == ["novel.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_output_folder_that_may_not_be_written(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe()
    locked = recipe.parent / "locked"
    locked.mkdir(mode=0o500)
    ended = finesight("run", recipe, "--output", locked / "run")
    assert ended.code == 2
    assert "Permission denied" in ended.stderr


def test_what_is_no_run_folder_cannot_be_resumed_reported_or_asked(finesight: Finesight, tmp_path: Path) -> None:
    for arguments in (("run", "--resume", tmp_path), ("report", tmp_path), ("ask", tmp_path, "a.png", "What?")):
        ended = finesight(*arguments)
        assert ended.code == 2
        assert "not a run folder" in ended.stderr and "hint:" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_recipe_of_ones_own_is_no_run_folder(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe()
    ended = finesight("report", tmp_path)
    assert ended.code == 2
    assert "not a run folder (it has no environment.json)" in ended.stderr
    ended = finesight("evaluate", tmp_path, recipe, "--output", tmp_path / "evaluation")
    assert ended.code == 2
    assert "no model can be found" in ended.stderr


def test_the_published_split_leaks_and_nothing_runs(finesight: Finesight, shared: Path, tmp_path: Path) -> None:
    for verb, options in (("check", ()), ("run", ("--output", tmp_path / "run"))):
        ended = finesight(verb, "vqa-rad-published-split", "--data-root", shared / "data", *options)
        assert ended.code == 1, ended.stderr
        told = ended.stdout + ended.stderr
        assert "share 203 × same image (" in told
        assert "share 14 × same image, question and answer (14 examples" in told
        assert "hint:" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ignored", [("starter.yaml",), ("--set", "seed=7"), ("--output", "other")])
def test_resume_refuses_what_it_would_ignore(finesight: Finesight, tmp_path: Path, ignored: tuple[str, ...]) -> None:
    ended = finesight("run", *ignored, "--resume", tmp_path)
    assert ended.code == 2
    assert "--resume goes on with a run as it was begun" in ended.stderr


def test_what_the_data_are_like_is_told_although_the_model_is_nowhere(
    finesight: Finesight, write_recipe: WriteRecipe
) -> None:
    ended = finesight("check", write_recipe(model={"kind": "llava", "name_or_path": "./nowhere"}))
    assert ended.code == 2
    assert "ok      sets: examples: " in ended.stdout
    assert "nowhere" in ended.stderr
