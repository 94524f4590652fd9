"""A baseline that was measured before is taken over, and only where everything that decides it is equal."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_runs import RECIPE, Finesight, WriteRecipe, contents, read_json_lines, scores, whole

from finesight.branches import answer
from finesight.evaluate import engine
from finesight.rundir import RunDir

GENERAL = {
    "name": "general", "kind": "scenes", "scenes": 5, "first_scene": 700, "questions_per_scene": 4, "image_size": 32,
    "max_new_tokens": 6, "role": "forgetting",
}  # fmt: skip
TASKS = [{"name": "held_out", "from": "test", "max_new_tokens": 6}, GENERAL]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was done before."""
    return whole(tmp_path_factory.mktemp("first"), {"evaluate": TASKS})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all questions that the model has answered, each time that it has."""
    ids: list[str] = []
    real = answer.answer_branches

    def note(model: Any, rows: Any, *arguments: Any, **settings: Any) -> Any:
        ids.extend(branch.example.id for row in rows for branch in row.branches)
        return real(model, rows, *arguments, **settings)

    monkeypatch.setattr(engine, "answer_branches", note)
    return ids


def evaluation(run: Path, predictor: str) -> dict[str, list[dict[str, Any]]]:
    """Return a predictor's records of each task, in the order of their ids."""
    return {
        name: sorted(read_json_lines(run / f"evaluation/{predictor}/{name}.jsonl"), key=lambda record: record["id"])
        for name in ("held_out", "general")
    }


def test_the_baseline_of_an_equal_recipe_is_not_measured_again(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, asked: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train = {"max_steps": 2, "global_batch_size": 8, "learning_rate": 1e-3}
    ended = finesight("run", write_recipe(evaluate=TASKS, train=train), "--output", run, "--reuse", first)
    assert ended.code == 0, ended.stderr
    before = evaluation(run, "before")
    assert before == evaluation(first, "before")
    for name, records in before.items():
        assert f"before: {name}: {len(records)} answers taken over from {first}" in ended.stderr
        # after, and the question alone
        assert all(asked.count(record["id"]) == 2 for record in records)

    origin = {"run": str(first.resolve()), "predictor": "before"}
    assert [task["taken_over"] for task in scores(run)] == [{"before": origin}] * 2
    said = f"Answers of before were taken over from {first.resolve()} (before)."
    assert ended.stdout.count(said) == 2
    assert (run / "report.html").read_text(encoding="utf-8").count(said) == 2
    assert [task["taken_over"] for task in scores(first)] == [{}] * 2
    assert finesight("rescore", run).stdout.count(said) == 2


def test_an_evaluation_and_a_run_take_over_from_each_other(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, asked: list[str], tmp_path: Path
) -> None:
    again, third = tmp_path / "again", tmp_path / "third"
    recipe = write_recipe(evaluate=TASKS)
    ended = finesight("evaluate", first, recipe, "--data-root", first.parent, "--output", again, "--reuse", first)
    assert ended.code == 0, ended.stderr
    assert asked == []
    assert (evaluation(again, "model"), evaluation(again, "blind")) == (
        evaluation(first, "after"),
        evaluation(first, "blind"),
    )
    measured = json.loads((again / "scores.json").read_text(encoding="utf-8"))["tasks"]
    assert {name: origin["predictor"] for name, origin in measured[0]["taken_over"].items()} == {
        "model": "after",
        "blind": "blind",
    }
    assert "Answers of model were taken over from" in " ".join(ended.stdout.split())

    assert finesight("evaluate", first, recipe, "--data-root", first.parent, "--output", third).code == 0
    assert evaluation(third, "model") == evaluation(again, "model")
    assert key_of(third, "model") == key_of(again, "model") == key_of(first, "after")


def key_of(run: Path, predictor: str, task: str = "general") -> Any:
    return json.loads((run / f"evaluation/{predictor}/{task}.json").read_text(encoding="utf-8"))["key"]


def changed(change: Callable[[dict[str, Any]], object]) -> Mapping[str, Any]:
    content = {**copy.deepcopy(dict(RECIPE)), "evaluate": copy.deepcopy(TASKS)}
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda recipe: recipe.update(seed=8), "the weights differ"),
        (lambda recipe: recipe["model"].update(dtype="bfloat16"), "weights differ; dtype is bfloat16, and was float32"),
        (lambda recipe: recipe["model"].update(attn_implementation="eager"), "implementation is eager, and was sdpa"),
        (lambda recipe: recipe["model"].update(vision_feature_layer=-1), "the model's configuration differs"),
        (lambda recipe: recipe["model"].update(system_prompt="Be brief."), "the prompt differs"),
        (lambda recipe: recipe["evaluate"][1].update(prompt="{question} Briefly."), "the prompt differs"),
        (lambda recipe: recipe["evaluate"][1].update(first_scene=701), "the examples differ"),
        (lambda recipe: recipe["evaluate"][1].update(max_new_tokens=5), "max_new_tokens is 5, and was 6"),
        (lambda recipe: recipe["evaluate"][1].update(stop=["."]), "stop is ['.'], and was []"),
        (lambda recipe: recipe["evaluate"][1].update(temperature=0.5), "temperature is 0.5, and was 0.0"),
        (lambda recipe: recipe["evaluate"][1].update(also=["perplexity"]), "other references are weighed"),
        (lambda recipe: recipe["evaluate"][1].update(name="other"), "has no answers to it"),
    ],
    ids=["seed", "dtype", "attention", "layer", "system prompt", "prompt", "examples", "limit", "stop", "sampling",
         "perplexity", "name"],
)  # fmt: skip
def test_what_differs_is_told_and_measured_anew(
    change: Callable[[dict[str, Any]], object],
    why: str,
    finesight: Finesight,
    write_recipe: WriteRecipe,
    first: Path,
    asked: list[str],
    tmp_path: Path,
) -> None:
    sections = changed(change)
    train = {"max_steps": 1, "global_batch_size": 4, "learning_rate": 1e-3}
    run = tmp_path / "run"
    ended = finesight("run", write_recipe(**{**sections, "train": train}), "--output", run, "--reuse", first)
    assert ended.code == 0, ended.stderr
    name = sections["evaluate"][1]["name"]
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith(f"before: {name}: not reused: ")]
    assert why in line
    records = read_json_lines(run / f"evaluation/before/{name}.jsonl")
    assert all(asked.count(record["id"]) == 3 for record in records)
    assert scores(run)[1]["taken_over"] == {}


def test_what_no_answer_depends_on_may_differ(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, tmp_path: Path
) -> None:
    sections = changed(lambda recipe: recipe["evaluate"][1].update(metric="token_f1", role="held_out"))
    train = {"max_steps": 1, "global_batch_size": 4, "learning_rate": 1e-3}
    recipe = write_recipe(**{**sections, "train": train, "name": "other"})
    ended = finesight(
        "run", recipe, "--output", tmp_path / "run", "--reuse", first, "--max-tokens-per-device", 64
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    assert "not reused" not in ended.stderr
    assert evaluation(tmp_path / "run", "before") == evaluation(first, "before")


def test_answers_that_one_key_does_not_cover_are_not_taken_over(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    real = RunDir.append_records

    def stop_behind_the_first(self: RunDir, predictor: str, task: str, records: Any) -> None:
        real(self, predictor, task, list(records)[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "append_records", stop_behind_the_first)
        assert finesight("run", write_recipe(evaluate=TASKS), "--output", begun).code == 130
    with monkeypatch.context() as patch:
        patch.setattr("finesight.evaluate.answer_key.package_versions", lambda names: {"torch": "1.0"})
        assert finesight("run", "--resume", begun).code == 0
    assert key_of(begun, "before", "held_out") is None
    assert key_of(begun, "before")["torch"] == "1.0"

    ended = finesight("run", write_recipe(evaluate=TASKS), "--output", tmp_path / "run", "--reuse", begun)
    assert ended.code == 0, ended.stderr
    assert f"before: held_out: not reused: {begun} does not say how it was answered" in ended.stderr
    assert f"torch is {key_of(first, 'before')['torch']}, and was 1.0" in ended.stderr


def test_half_an_evaluation_is_taken_over_and_finished(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, asked: list[str], tmp_path: Path
) -> None:
    half, run = tmp_path / "half", tmp_path / "run"
    for name, content in contents(first).items():
        (half / name).parent.mkdir(parents=True, exist_ok=True)
        (half / name).write_bytes(content)
    file = half / "evaluation/before/general.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    first_said = json.dumps({**json.loads(lines[0]), "prediction": "as it was said there"}) + "\n"
    file.write_text("".join([first_said, *lines[1:7]]), encoding="utf-8")
    train = {"max_steps": 1, "global_batch_size": 4, "learning_rate": 1e-3}
    ended = finesight("run", write_recipe(evaluate=TASKS, train=train), "--output", run, "--reuse", half)
    assert ended.code == 0, ended.stderr
    assert "before: general: 7 answers taken over" in ended.stderr
    kept = {json.loads(line)["id"] for line in lines[:7]}
    general = evaluation(run, "before")["general"]
    assert {record["id"] for record in general} == {json.loads(line)["id"] for line in lines}
    assert all(asked.count(record["id"]) == (2 if record["id"] in kept else 3) for record in general)
    said = [record["id"] for record in general if record["prediction"] == "as it was said there"]
    assert said == [json.loads(lines[0])["id"]]


def test_an_evaluation_that_was_stopped_says_how_it_goes_on(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, other = tmp_path / "half", tmp_path / "other"
    arguments = ("evaluate", first, write_recipe(evaluate=TASKS), "--data-root", first.parent)
    with monkeypatch.context() as patched:
        real = RunDir.append_records

        def append_and_stop(run: RunDir, predictor: str, task: str, records: Any) -> None:
            real(run, predictor, task, records)
            raise KeyboardInterrupt

        patched.setattr(RunDir, "append_records", append_and_stop)
        stopped = finesight(*arguments, "--output", half)
    assert stopped.code == 130
    way_out = f"with `--reuse {half}` and another --output goes on from its answers"
    assert way_out in stopped.stderr
    refused = finesight(*arguments, "--output", half)
    assert refused.code == 2
    assert "the output folder holds an evaluation" in refused.stderr and way_out in refused.stderr
    resumed = finesight("run", "--resume", half)
    assert resumed.code == 2 and way_out in resumed.stderr
    ended = finesight(*arguments, "--reuse", half, "--output", other)
    assert ended.code == 0, ended.stderr
    assert f"answers taken over from {half}" in ended.stderr
    assert evaluation(other, "model") == evaluation(first, "after")


def test_a_folder_without_answers_is_refused(
    finesight: Finesight, write_recipe: WriteRecipe, first: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(evaluate=TASKS)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("recipe.yaml", "environment.json"):
        (empty / name).write_bytes((first / name).read_bytes())
    for earlier, said in ((empty, "there are no answers yet"), (tmp_path, "not a run folder")):
        for verb in (("run", recipe), ("evaluate", first, recipe)):
            ended = finesight(*verb, "--output", tmp_path / "run", "--reuse", earlier)
            assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    (empty / "rehearsal.json").write_text("{}", encoding="utf-8")
    assert "a rehearsal" in finesight("run", recipe, "--reuse", empty).stderr
    assert not (tmp_path / "run").exists()
