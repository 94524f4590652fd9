"""A run that continues an earlier one: where it starts, what it is refused, what it remembers of the earlier data."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from small_runs import FROM_QUESTIONS, RECIPE, Finesight, read_json_lines, recipe_text, whole, write_questions

from finesight.models.loaded import Loaded
from finesight.models.tokenizers import learn_tokenizer
from finesight.opening import load_best, open_untuned
from finesight.rundir import RunDir
from finesight.tune.prepare import merge_adapters

LORA: dict[str, Any] = {"method": "lora", "r": 2, "lora_alpha": 8}
TRAIN: dict[str, Any] = {"max_steps": 6, "global_batch_size": 8, "learning_rate": 2e-2, "eval_steps": 3}
# Small models answer with nothing; how likely they find the right answers tells them apart.
MEASURED = [{"name": "held_out", "from": "test", "max_new_tokens": 6, "also": ["perplexity"]}]
ADAPTED: dict[str, Any] = {
    "tune": {"projector": "full", "language": LORA},
    "train": TRAIN,
    "evaluate": MEASURED,
}
EARLIER: dict[str, Any] = {
    "evaluate": MEASURED,
    "tune": None,
    "train": None,
    "stages": [
        # Random weights answer nothing, however they are adapted.
        {"name": "wake", "tune": {"language": "full"}, "train": {**TRAIN, "max_steps": 30, "learning_rate": 1e-2}},
        {"name": "tune", "tune": ADAPTED["tune"], "train": TRAIN},
    ],
}


def continuing(adapters: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a recipe's sections that continue the run beside it."""
    run = "../first/run"
    continue_from: Any = run if adapters is None else {"run": run, "adapters": adapters}
    model = {**RECIPE["model"], "continue_from": continue_from, **changes.pop("model", {})}
    return {**ADAPTED, "model": model, **changes}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `first/run`, a finished run."""
    folder = tmp_path_factory.mktemp("continue")
    (folder / "first").mkdir()
    whole(folder / "first", EARLIER)
    return folder


@pytest.fixture(scope="module")
def continued(place: Path) -> dict[str, Path]:
    """The runs that continue it: new adapters over the merged ones, and the old ones trained on."""
    runs = {}
    for adapters in ("merge", "train"):
        (place / adapters).mkdir()
        runs[adapters] = whole(place / adapters, continuing(adapters))
    return runs


def tuned(run: Path) -> Loaded:
    folder = RunDir.existing(run)
    loaded = open_untuned(folder)
    load_best(loaded, folder)
    return loaded


def bare_weights(loaded: Loaded) -> dict[str, torch.Tensor]:
    """Return the model's own weights, its adapters merged into them."""
    merge_adapters(loaded)
    return {name: parameter.detach().clone() for name, parameter in loaded.model.named_parameters()}


def likelihoods(run: Path, predictor: str) -> dict[str, float]:
    """Return how likely `predictor` found the right answer to each question."""
    rows = read_json_lines(run / "evaluation" / predictor / "held_out.jsonl")
    return {row["id"]: row["reference_log_likelihood"] for row in rows}


@pytest.mark.parametrize("adapters", ["merge", "train"])
def test_it_starts_from_the_tuned_model(adapters: str, place: Path, continued: dict[str, Path]) -> None:
    first = place / "first" / "run"
    assert likelihoods(first, "before") != pytest.approx(likelihoods(first, "after"), abs=0.1), "it learned something"
    assert likelihoods(continued[adapters], "before") == pytest.approx(likelihoods(first, "after"), abs=1e-4)
    theirs, ours = bare_weights(tuned(first)), bare_weights(open_untuned(RunDir.existing(continued[adapters])))
    assert theirs.keys() == ours.keys()
    assert [name for name in theirs if not torch.equal(theirs[name], ours[name])] == []


def test_merged_adapters_make_room_for_new_ones(continued: dict[str, Path]) -> None:
    started = open_untuned(RunDir.existing(continued["merge"]))
    assert not isinstance(started.model, PeftModel)
    assert sorted(file.name for file in (continued["merge"] / "checkpoints").rglob("parts/*")) == [
        "projector.safetensors",
        "projector.safetensors",
    ], "a checkpoint holds what this run changes, and not the earlier run's weights once more"


def test_adapters_that_are_trained_on_begin_where_the_earlier_run_ended(
    place: Path, continued: dict[str, Path]
) -> None:
    begun = load_file(continued["train"] / "model" / "adapters" / "language" / "adapter_model.safetensors")
    first = place / "first" / "run" / "checkpoints" / "tune"
    best = json.loads((first / "best.json").read_text("utf-8"))["checkpoint"]
    left = load_file(first / best / "adapters" / "language" / "adapter_model.safetensors")
    assert begun.keys() == left.keys()
    assert all(torch.equal(begun[name], left[name]) for name in left)
    ended = {name: p for name, p in tuned(continued["train"]).model.named_parameters() if ".lora_B." in name}
    assert any(tensor.abs().max() > 0 for tensor in ended.values())
    parameters = json.loads((continued["train"] / "parameters.json").read_text("utf-8"))["stages"][0]
    assert parameters["refusals"] == []


@pytest.mark.parametrize("adapters", ["merge", "train"])
def test_the_earlier_run_may_be_deleted(
    adapters: str, place: Path, continued: dict[str, Path], tmp_path: Path, finesight: Finesight
) -> None:
    run = tmp_path / "run"
    shutil.copytree(continued[adapters], run)
    environment = json.loads((run / "environment.json").read_text("utf-8"))
    (run / "environment.json").write_text(json.dumps({**environment, "data_root": str(tmp_path)}))
    assert not (tmp_path.parent / "first").exists()
    theirs, ours = bare_weights(tuned(continued[adapters])), bare_weights(tuned(run))
    assert [name for name in theirs if not torch.equal(theirs[name], ours[name])] == []
    (picture,) = list((run / "thumbs").iterdir())[:1]
    asked = finesight("ask", run, picture, "what is it?", "--json")
    assert asked.code == 0, asked.stderr
    assert json.loads(asked.stdout).keys() == {"image", "question", "before", "after"}
    exported = finesight("export", run, tmp_path / "exported", "--questions", 5)
    assert exported.code == 0, exported.stderr
    (run / "verdict.json").unlink()
    resumed = finesight("run", "--resume", run)
    assert resumed.code == 0, resumed.stderr
    assert (run / "verdict.json").exists()


def test_a_path_alone_merges(place: Path, tmp_path: Path, finesight: Finesight) -> None:
    recipe = place / "alone.yaml"
    sections = continuing()
    sections["model"]["continue_from"] = "first/run"
    recipe.write_text(recipe_text(sections), encoding="utf-8")
    checked = finesight("check", recipe)
    assert checked.code == 0, checked.stdout + checked.stderr
    assert "starts from first/run, checkpoint-" in checked.stderr
    assert "its adapters are merged" in checked.stderr
    assert finesight("look", recipe, "--output", tmp_path / "look.html").code == 0


def test_it_can_be_continued_once_more(continued: dict[str, Path], place: Path, tmp_path: Path) -> None:
    sections = continuing("train")
    sections["model"]["continue_from"]["run"] = str(continued["train"])
    third = whole(tmp_path, sections)
    assert likelihoods(third, "before") == pytest.approx(likelihoods(continued["train"], "after"), abs=1e-4)
    learned = json.loads((third / "learned.json").read_text("utf-8"))
    assert learned["earlier"]["known"]
    assert set(learned["train"]["same image"]) <= set(learned["earlier"]["train"]["same image"])


@pytest.mark.parametrize(
    ("sections", "message", "hint"),
    [
        (
            {"model": {"language": {"config": {**RECIPE["model"]["language"]["config"], "num_hidden_layers": 3}}}},
            "model.language is",
            "finesight export",
        ),
        ({"model": {"vision_feature_layer": -1}}, "model.vision_feature_layer is -1", "the model that it was given"),
        ({"tune": {"language": {**LORA, "r": 4}}}, "another adapter than the one of ../first/run", "r: 2"),
        ({"tune": {"projector": "full", "language": "full"}}, "another adapter", "adapters: merge"),
    ],
)
def test_what_does_not_fit_is_refused(
    sections: dict[str, Any], message: str, hint: str, place: Path, finesight: Finesight
) -> None:
    folder = place / "refused"
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe_text(continuing("train", **sections)), encoding="utf-8")
    ended = finesight("run", folder / "recipe.yaml", "--output", folder / "run")
    assert ended.code == 2
    assert message in ended.stderr
    assert hint in ended.stderr.split("hint: ")[1]
    assert not (folder / "run").exists()


def test_dropout_may_change_where_adapters_are_trained_on(place: Path, finesight: Finesight, tmp_path: Path) -> None:
    tune = {"projector": "full", "language": {**LORA, "lora_dropout": 0.1}}
    (place / "dropout.yaml").write_text(
        recipe_text({**continuing(tune=tune), "model": {**RECIPE["model"], "continue_from": {"run": "first/run"}}}),
        encoding="utf-8",
    )
    assert finesight("check", place / "dropout.yaml", "--set", "model.continue_from.adapters=train").code == 0


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Returns a recipe's sections for a language model in 4 bits; `first/run` has tuned it by adapters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = learn_tokenizer(["red or blue? 1 2 3 4 5 6 7 8 9"] * 20, 340)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=340, bos_token_id=1, eos_token_id=2, **sizes)).save_pretrained(
        tmp_path / "llama"
    )
    tokenizer.save_pretrained(tmp_path / "llama")
    rows = [
        {"image": None, "question": f"{number}?", "answer": "red" if number % 2 else "blue"} for number in range(30)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")

    def sections(**model: Any) -> dict[str, Any]:
        return {
            "model": {
                "kind": "text",
                "name_or_path": str(tmp_path / "llama"),
                "quantization": {"bnb_4bit_compute_dtype": "float32"},
                "chat_template": "plain",
                **model,
            },
            "data": {
                "train": [{"kind": "vqa_json", "file": str(tmp_path / "rows.json")}],
                "split": {"validation": 0.2, "test": 0.2},
            },
            "tune": {"language": LORA},
            "train": TRAIN,
            "evaluate": MEASURED,
        }

    (tmp_path / "first").mkdir()
    whole(tmp_path / "first", sections())
    return sections


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_over_4_bit_weights_adapters_are_trained_on_and_never_merged(
    packed: Callable[..., dict[str, Any]], tmp_path: Path, finesight: Finesight
) -> None:
    first = tmp_path / "first" / "run"
    (tmp_path / "second").mkdir()
    second = whole(tmp_path / "second", packed(continue_from={"run": str(first), "adapters": "train"}))
    assert likelihoods(second, "before") == pytest.approx(likelihoods(first, "after"), abs=1e-4)
    assert likelihoods(second, "before") != pytest.approx(likelihoods(second, "after"), abs=1e-2)
    (tmp_path / "recipe.yaml").write_text(recipe_text(packed(continue_from=str(first))), encoding="utf-8")
    ended = finesight("check", tmp_path / "recipe.yaml")
    assert (ended.code, "would be rounded away" in ended.stderr) == (2, True), ended.stderr
    other = finesight("check", tmp_path / "recipe.yaml", "--set", "model.quantization=none")
    assert (other.code, "model.quantization is none" in other.stderr) == (2, True), other.stderr


def test_later_stages_merge_what_the_first_trained_on(place: Path, tmp_path: Path, finesight: Finesight) -> None:
    sections = continuing("train")
    stages = [
        {"name": "on", "tune": sections.pop("tune"), "train": sections["train"]},
        {"name": "projector", "tune": {"projector": "full"}, "train": sections.pop("train")},
    ]
    sections["model"]["continue_from"]["run"] = str(place / "first" / "run")
    run = whole(tmp_path, {**sections, "tune": None, "train": None, "stages": stages})
    before, weights = bare_weights(open_untuned(RunDir.existing(run))), bare_weights(tuned(run))
    changed = {name for name in weights if not torch.equal(weights[name], before[name])}
    assert any("language_model" in name for name in changed)
    folder = run / "checkpoints" / "projector"
    best = json.loads((folder / "best.json").read_text("utf-8"))["checkpoint"]
    stored = load_file(folder / best / "parts" / "language.safetensors")
    assert [name for name in stored if not torch.equal(stored[name], weights[name])] == [], "merged once, not twice"


def unfinished(run: Path) -> None:
    best = run / "checkpoints" / "tune" / "best.json"
    best.write_text(json.dumps({**json.loads(best.read_text("utf-8")), "finished": False}))


def rehearsed(run: Path) -> None:
    (run / "rehearsal.json").write_text("{}")


def gone(run: Path) -> None:
    shutil.rmtree(run)


@pytest.mark.parametrize(
    ("harm", "message"),
    [(unfinished, "is not finished"), (rehearsed, "a rehearsal"), (gone, "not a run folder")],
)
def test_a_run_that_cannot_be_continued_is_named(
    harm: Callable[[Path], None], message: str, place: Path, tmp_path: Path, finesight: Finesight
) -> None:
    shutil.copytree(place / "first" / "run", tmp_path / "first" / "run")
    harm(tmp_path / "first" / "run")
    (tmp_path / "second").mkdir()
    recipe = tmp_path / "second" / "recipe.yaml"
    recipe.write_text(recipe_text(continuing()), encoding="utf-8")
    ended = finesight("check", recipe)
    assert (ended.code, message in ended.stderr) == (2, True), ended.stderr


@pytest.fixture
def asked_before(tmp_path: Path) -> Callable[..., Path]:
    """Returns a recipe that is measured on the very pictures that `first/run` has learned from."""
    write_questions(tmp_path / "data")
    rows = json.loads((tmp_path / "data" / "train.json").read_text("utf-8"))
    new = [{**row, "image": f"new-{row['image']}"} for row in rows]
    for number in range(12):
        picture = tmp_path / "data" / f"{number}.png"
        (tmp_path / "data" / f"new-{number}.png").write_bytes(picture.read_bytes() + b"another file")
    (tmp_path / "data" / "new.json").write_text(json.dumps(new), encoding="utf-8")
    earlier = {**EARLIER, "data": {**FROM_QUESTIONS, "split": {"validation": 0.2, "test": 0.2, "look_alikes": False}}}
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "data").symlink_to(tmp_path / "data")
    whole(tmp_path / "first", earlier)

    def write(**data: Any) -> Path:
        sections = continuing(
            data={
                "train": [{"kind": "vqa_json", "file": "data/new.json", "images": "data"}],
                "test": [{"kind": "vqa_json", "file": "data/train.json", "images": "data"}],
                "split": {"validation": 0.2, "look_alikes": False},
                **data,
            }
        )
        sections["model"]["continue_from"] = "first/run"
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(recipe_text(sections), encoding="utf-8")
        return recipe

    return write


def test_what_the_earlier_run_learned_from_is_a_leak(asked_before: Callable[..., Path], finesight: Finesight) -> None:
    ended = finesight("check", asked_before())
    assert ended.code == 1
    # Of twelve pictures the earlier run kept two for its test set.
    assert "test and train and validation of first/run share 10 × same image (20 examples of test" in ended.stdout


def test_a_leak_that_is_allowed_is_in_the_headline(
    asked_before: Callable[..., Path], tmp_path: Path, finesight: Finesight
) -> None:
    ended = finesight("run", asked_before(allow_leakage=True), "--output", tmp_path / "second")
    assert ended.code == 0, ended.stderr
    verdict = json.loads((tmp_path / "second" / "verdict.json").read_text("utf-8"))
    assert any("of first/run share 10 × same image" in warning for warning in verdict["headline"]["warnings"])
    assert "train and validation of first/run" in (tmp_path / "second" / "report.html").read_text("utf-8")


def test_where_the_earlier_data_are_not_recorded_that_is_said(
    asked_before: Callable[..., Path], tmp_path: Path, finesight: Finesight
) -> None:
    (tmp_path / "first" / "run" / "learned.json").unlink()
    ended = finesight("check", asked_before())
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "what first/run has learned from is not recorded" in ended.stdout


def test_a_rehearsal_leaves_the_earlier_run_out(place: Path, tmp_path: Path, finesight: Finesight) -> None:
    recipe = place / "rehearsed.yaml"
    sections = continuing()
    sections["model"]["continue_from"] = "first/run"
    recipe.write_text(recipe_text(sections), encoding="utf-8")
    ended = finesight("run", recipe, "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert "model.continue_from is left out" in ended.stderr
