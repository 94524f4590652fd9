"""A run that goes on is the run that was begun: what differs is said, other data are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_runs import FROM_QUESTIONS, Finesight, WriteRecipe, contents, losses, read_json_lines

from finesight.rundir import RunDir


@pytest.fixture
def stopped(finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path) -> Path:
    """A run on pictures in files that was stopped at its fifth step."""
    real, run = RunDir.append_metrics, tmp_path / "run"

    def until_step_5(self: RunDir, row: dict[str, Any]) -> None:
        real(self, row)
        if row["step"] == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "append_metrics", until_step_5)
        assert finesight("run", write_recipe(data=FROM_QUESTIONS), "--output", run).code == 130
    return run


def change_an_answer(data: Path) -> None:
    file = data / "train.json"
    file.write_text(file.read_text(encoding="utf-8").replace("shade 3", "shade three"), encoding="utf-8")


def change_an_image(data: Path) -> None:
    Image.new("RGB", (32, 32), (1, 2, 3)).save(data / "3.png")


def take_rows_away(data: Path) -> None:
    rows = json.loads((data / "train.json").read_text(encoding="utf-8"))
    (data / "train.json").write_text(json.dumps(rows[:-2]), encoding="utf-8")


def change_the_order(data: Path) -> None:
    rows = json.loads((data / "train.json").read_text(encoding="utf-8"))
    (data / "train.json").write_text(json.dumps(rows[::-1]), encoding="utf-8")


@pytest.mark.parametrize("change", [change_an_answer, change_an_image, take_rows_away, change_the_order])
def test_other_data_are_refused_and_nothing_is_touched(
    change: Callable[[Path], None], stopped: Path, finesight: Finesight, questions: Path, tmp_path: Path
) -> None:
    before = but_for_the_end(stopped)
    change(questions)
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 2
    assert f"{stopped}: the data are not those that the run began with: train.json (" in ended.stderr
    another = f"finesight run {stopped / 'recipe.yaml'} --data-root {tmp_path}"
    assert f"hint: another run begins with `{another}`; for this one, restore them; then go on with: " in ended.stderr
    assert but_for_the_end(stopped) == before


def test_data_that_were_moved_are_found_with_a_data_root(
    stopped: Path, finesight: Finesight, questions: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    questions.rename(elsewhere / questions.name)
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 2
    assert "give another with --data-root; then go on with: " in ended.stderr
    ended = finesight("run", "--resume", stopped, "--data-root", elsewhere)
    assert ended.code == 0, ended.stderr
    assert "going on from step 4 of 12" in ended.stderr
    assert RunDir.existing(stopped).data_root == elsewhere.resolve()


def test_other_data_are_refused_wherever_they_are(
    stopped: Path, finesight: Finesight, questions: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(questions, elsewhere / questions.name)
    change_an_answer(elsewhere / questions.name)
    ended = finesight("run", "--resume", stopped, "--data-root", elsewhere)
    assert ended.code == 2
    assert "the data are not those that the run began with" in ended.stderr
    assert RunDir.existing(stopped).data_root == tmp_path.resolve()


def but_for_the_end(run: Path) -> dict[str, bytes]:
    """Return the files of a run but for that which says how it ended."""
    return {name: content for name, content in contents(run).items() if name != "end.json"}


def test_a_changed_recipe_is_said(stopped: Path, finesight: Finesight) -> None:
    change(stopped, "max_steps: 12", "max_steps: 8")
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 0, ended.stderr
    changed = "train.max_steps: 12 → 8"
    assert f"warning: recipe.yaml was changed since the run last started, {changed}: steps already" in ended.stderr
    assert losses(stopped)[-1][2] == 8
    page = (stopped / "report.html").read_text(encoding="utf-8")
    assert f"The recipe was changed while the run went on: {changed}." in page
    assert "was changed" not in finesight("run", "--resume", stopped).stderr
    assert RunDir.existing(stopped).load("environment")["recipe_changes"] == [changed]


def test_what_a_checkpoint_holds_stays_and_the_page_says_what_was_used(stopped: Path, finesight: Finesight) -> None:
    change(stopped, "learning_rate: 0.005", "learning_rate: 0.5")
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 0, ended.stderr
    told = (
        "warning: recipe.yaml was changed, train.learning_rate: 0.005 → 0.5: not used, the checkpoint holds the old one"
    )
    assert told in ended.stderr
    run = RunDir.existing(stopped)
    (stage,) = run.load("parameters")["stages"]
    assert {part["learning_rate"] for part in stage["parts"]} == {0.005}
    rates = [row["learning_rate"] for row in run.metrics() if row["kind"] == "train"]
    assert max(rate for row in rates for rate in row.values()) == 0.005
    assert run.load("environment")["recipe_changes"] == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_new_tokens: 6", "max_new_tokens: 4", "evaluate.held_out.max_new_tokens: 6 → 4"),
        ("seed: 7", "seed: 8", "seed: 7 → 8"),
        ("test: 0.2", "test: 0.3", "data.split.test: 0.2 → 0.3"),
        ("vision: full", "vision: frozen", "tune.vision: full → frozen"),
    ],
)
def test_what_decides_answers_and_weights_may_not_change(
    old: str, new: str, told: str, stopped: Path, finesight: Finesight
) -> None:
    change(stopped, old, new)
    before = but_for_the_end(stopped)
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 2
    assert f"recipe.yaml was changed since the run last started, {told}: of a run that goes on, only" in ended.stderr
    assert "hint: another run begins with `finesight run " in ended.stderr
    assert "; for this one, restore what was changed; then go on with: finesight run --resume " in ended.stderr
    assert but_for_the_end(stopped) == before


def change(run: Path, old: str, new: str) -> None:
    recipe = run / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new), encoding="utf-8")


def test_other_versions_are_said(stopped: Path, finesight: Finesight) -> None:
    file = stopped / "environment.json"
    environment = json.loads(file.read_text(encoding="utf-8"))
    environment["packages"] |= {"torch": "2.0.0", "gone": "1.0"}
    file.write_text(json.dumps(environment), encoding="utf-8")
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 0, ended.stderr
    assert "warning: since the run began, torch: 2.0.0 → " in ended.stderr
    assert "warning: since the run began, gone: 1.0 → none: losses may differ" in ended.stderr
    assert ended.stderr.count("since the run began") == 2


def test_nothing_is_said_when_all_is_as_it_was(stopped: Path, finesight: Finesight) -> None:
    assert "since the run began" not in finesight("run", "--resume", stopped).stderr


def test_a_run_of_an_earlier_finesight_is_refused(stopped: Path, finesight: Finesight) -> None:
    file = stopped / "environment.json"
    environment = json.loads(file.read_text(encoding="utf-8"))
    del environment["recipe"]
    file.write_text(json.dumps(environment), encoding="utf-8")
    kept = read_json_lines(stopped / "metrics.jsonl")
    ended = finesight("run", "--resume", stopped)
    assert ended.code == 2
    assert "begun by an earlier finesight, which did not note what its data were" in ended.stderr
    assert read_json_lines(stopped / "metrics.jsonl") == kept
