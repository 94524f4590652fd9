"""`finesight export`: a folder that transformers alone loads, and that answers as the tuned model did."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError
from safetensors.torch import load_file
from small_runs import RECIPE, Ended, Finesight, contents, whole, write_questions
from transformers import AutoModelForCausalLM

from finesight.data.sources.read import put_questions
from finesight.evaluate.agreement import Answered, compare_answers
from finesight.evaluate.tasks import answer_one
from finesight.exporting import place as export_place
from finesight.models.loaded import Loaded
from finesight.opening import load_best, open_untuned
from finesight.report.card import CARD_FILE
from finesight.rundir import RunDir
from finesight.schema import Example, Turn
from finesight.tune.weights import take_off_adapters
from moondream_making import write_moondream

LORA: dict[str, Any] = {"method": "lora", "r": 4, "lora_alpha": 32}
TRAIN: dict[str, Any] = {"max_steps": 6, "global_batch_size": 8, "learning_rate": 1e-3, "eval_steps": 3}
ASSEMBLED: dict[str, Any] = dict(RECIPE["model"])
SIGLIP = {**ASSEMBLED["vision"]["config"], "model_type": "siglip_vision_model"}
GEMMA = {**ASSEMBLED["language"]["config"], "model_type": "gemma", "head_dim": 16}
PROMPT = "{question} Answer in a word."
DATA: dict[str, Any] = {
    "train": [{"kind": "vqa_json", "file": "data/train.json", "images": "data", "prompt": PROMPT}],
    "split": {"validation": 0.2, "test": 0.4},
}
TEXT: dict[str, Any] = {
    "kind": "text",
    "config": {**RECIPE["model"]["language"]["config"], "hidden_size": 64},
    "tokenizer": {"vocab_size": 400},
    "chat_template": "plain",
    "system_prompt": "Be brief.",
}
EVERYTHING: dict[str, Any] = {"vision": "full", "projector": "full", "language": LORA}
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip and llama": ({**ASSEMBLED, "chat_template": "llava-1.5", "system_prompt": "Be brief."}, EVERYTHING),
    "siglip and gemma": (
        {**ASSEMBLED, "vision": {"config": SIGLIP}, "language": {"config": GEMMA}},
        {"vision": LORA, "projector": "full", "language": "full"},
    ),
    "text, llama": (TEXT, {"language": "full"}),
    "text, gemma": ({**TEXT, "config": {**GEMMA, "hidden_size": 64}, "system_prompt": None}, {"language": LORA}),
}
"""Model and tuning of each."""


def tune(folder: Path, sections: dict[str, Any]) -> Path:
    """Return the folder of a run on twelve pictures (their texts alone, for a text model)."""
    folder.mkdir(exist_ok=True)
    write_questions(folder / "data")
    if sections["model"]["kind"] == "text":
        rows = json.loads((folder / "data" / "train.json").read_text("utf-8"))
        texts = [{**row, "question": f"{row['image']}: {row['question']}", "image": None} for row in rows]
        (folder / "data" / "train.json").write_text(json.dumps(texts), encoding="utf-8")
    return whole(folder, {"data": DATA, "train": TRAIN, **sections})


@pytest.fixture(scope="module", autouse=True)
def lively() -> Iterator[None]:
    """Let random weights be large, so that their answers differ: what is always alike proves little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finesight.models.assemble.cast_weights", enliven)
        patch.setattr("finesight.models.text.cast_weights", enliven)
        yield


def enliven(model: torch.nn.Module, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.data.normal_(std=2 / parameter[0].numel() ** 0.5, generator=generator)
        parameter.data = parameter.data.to(dtype)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the run of a family, made once."""
    made: dict[str, Path] = {}

    def run_of(family: str) -> Path:
        if family not in made:
            model, tuning = FAMILIES[family]
            made[family] = tune(tmp_path_factory.mktemp("export"), {"model": model, "tune": tuning})
        return made[family]

    return run_of


def tuned(run: Path) -> Loaded:
    folder = RunDir.existing(run)
    loaded = open_untuned(folder)
    load_best(loaded, folder)
    return loaded


def by_the_cards_own_words(exported: Path, question: str, picture: Path) -> str:
    """Run the snippet of the model card, with another question, and return what it prints."""
    (snippet,) = re.findall(r"```python\n(.*?)```", (exported / CARD_FILE).read_text("utf-8"), re.DOTALL)
    assert "finesight" not in snippet
    asked = PROMPT.replace("{question}", "What is this?")
    assert snippet.count(asked) == 1
    for written, meant in (
        (asked, PROMPT.replace("{question}", question)),
        ('folder = "."', f"folder = {str(exported)!r}"),
        ('"image.png"', repr(str(picture))),
    ):
        snippet = snippet.replace(written, meant)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(snippet, {})
    return told.getvalue().strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_alone_answers_as_the_tuned_model(
    family: str, runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight
) -> None:
    run, exported = runs(family), tmp_path / "exported"
    ended = finesight("export", run, exported)
    assert ended.code == 0, ended.stderr
    assert ended.last_line() == str(exported)
    assert "10 of 10 held-out questions" in ended.stdout
    loaded, told = tuned(run), set()
    for number in (0, 5, 11):
        picture = run.parent / "data" / f"{number}.png"
        for question in ("Is it blue?", "Which shade?"):
            words = f"{number}.png: {question}" if "text" in family else question
            images = () if "text" in family else (Picture(picture),)
            example = Example("", "", images, (Turn("user", words), Turn("assistant", "")), ("",))
            ours = answer_one(loaded, put_questions(example, PROMPT), max_new_tokens=64)
            assert by_the_cards_own_words(exported, words, picture) == ours
            told.add(ours)
    assert len(told) > 2, "answers that are all alike prove little"


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_a_moondream_is_a_checkpoint_for_the_next_recipe(year: str, tmp_path: Path, finesight: Finesight) -> None:
    model = {"kind": "moondream", "name_or_path": str(write_moondream(tmp_path / "moondream", year))}
    run = tune(tmp_path / "run of it", {"model": model, "tune": {"projector": "full", "language": LORA}})
    ended = finesight("export", run, tmp_path / "exported")
    assert ended.code == 0, ended.stderr
    card = (tmp_path / "exported" / CARD_FILE).read_text("utf-8")
    assert "model: {kind: moondream, name_or_path: FOLDER}" in card
    assert "```python" not in card
    recipe = tmp_path / "run of it" / "recipe.yaml"
    checked = finesight("check", recipe, "--set", f"model.name_or_path={tmp_path / 'exported'}")
    assert checked.code == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def checkpoint(runs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model's folder, exported in bfloat16."""
    from finesight.export import export_run

    folder = tmp_path_factory.mktemp("checkpoint") / "reader"
    export_run(RunDir.existing(runs("text, llama")), folder, dtype="bfloat16")
    return folder


def test_weights_are_in_the_format_that_is_asked_for_or_the_checkpoints_own(
    checkpoint: Path, tmp_path: Path, finesight: Finesight
) -> None:
    assert formats_of(checkpoint) == {torch.bfloat16}
    assert json.loads((checkpoint / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(checkpoint).dtype == torch.bfloat16
    model = {"kind": "text", "name_or_path": str(checkpoint)}
    run = tune(tmp_path, {"model": model, "tune": {"language": LORA}})
    assert tuned(run).model.dtype == torch.float32, "the run computed in another"
    assert finesight("export", run, tmp_path / "own").code == 0
    assert formats_of(tmp_path / "own") == {torch.bfloat16}
    assert finesight("export", run, tmp_path / "asked", "--dtype", "float32").code == 0
    assert formats_of(tmp_path / "asked") == {torch.float32}
    card = (tmp_path / "asked" / CARD_FILE).read_text("utf-8")
    assert "Tuned by finesight from `reader`." in card
    assert "base_model" not in card, "a folder of this machine is no name on the hub"
    assert str(tmp_path.parent.parent) not in card


def formats_of(folder: Path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()}


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_a_4_bit_run_is_unpacked_before_it_is_merged(checkpoint: Path, tmp_path: Path, finesight: Finesight) -> None:
    packed = {"bnb_4bit_compute_dtype": "float32"}
    model = {"kind": "text", "name_or_path": str(checkpoint), "quantization": packed}
    run = tune(tmp_path, {"model": model, "tune": {"language": LORA}})
    ended = finesight("export", run, tmp_path / "exported", "--dtype", "float32")
    assert ended.code == 0, ended.stderr
    assert float(ended.stdout.splitlines()[0].split("within ")[1].split()[0]) < 1e-5
    config = json.loads((tmp_path / "exported" / "config.json").read_text("utf-8"))
    assert "quantization_config" not in config
    assert formats_of(tmp_path / "exported") == {torch.float32}
    unpacked = tuned(run)
    adapted = {name for name, _ in unpacked.model.named_modules() if name.endswith(".lora_A")}
    assert adapted, "the run tuned adapters"
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "exported").eval()
    ids = torch.tensor([[1, 50, 60, 70, 80]])
    with torch.no_grad():
        assert torch.allclose(plain(ids).logits, unpacked.model(input_ids=ids).logits, atol=1e-4)
    card = (tmp_path / "exported" / CARD_FILE).read_text("utf-8")
    assert "in 4 bits (nf4)" in card


def test_the_card_says_what_was_measured(runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight) -> None:
    run = runs("clip and llama")
    assert finesight("export", run, tmp_path / "exported").code == 0
    card = (tmp_path / "exported" / CARD_FILE).read_text("utf-8")
    (task,) = json.loads((run / "verdict.json").read_text("utf-8"))["tasks"]
    after = task["scores"]["after"]
    shown = f"{100 * after['score']:.1f} % [{100 * after['low']:.1f}, {100 * after['high']:.1f}]"
    (row,) = [line for line in card.splitlines() if line.startswith("| held_out | exact_match |")]
    assert row.split(" | ")[3] == shown
    assert "| tune | language | lora r=4 |" in card
    assert "finesight run recipe.yaml --data-root DATA" in card
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: image-text-to-text\n")
    assert (tmp_path / "exported" / "recipe.yaml").read_bytes() == (run / "recipe.yaml").read_bytes()
    for name, content in contents(tmp_path / "exported").items():
        assert str(run.parent).encode() not in content, f"{name} names a folder of this machine"


def test_a_folder_that_answers_otherwise_is_refused(
    runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finesight.export.merge_for_good", lambda loaded, run: take_off_adapters(loaded))
    ended = finesight("export", runs("siglip and gemma"), tmp_path / "exported")
    assert ended.code == 1
    assert "the exported model is not the tuned one: of 10 questions they disagree on 10, first on" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported.refused"]
    assert not (tmp_path / "exported.refused" / CARD_FILE).exists(), "no card says that it is the model"
    again = finesight("export", runs("siglip and gemma"), tmp_path / "exported")
    assert (again.code, "exported.refused: there is something already" in again.stderr) == (2, True)


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_nothing_is_written_over(what: str, runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight) -> None:
    target = tmp_path / "exported"
    if what == "a folder":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    else:
        target.write_text("mine")
    before = contents(tmp_path)
    ended = finesight("export", runs("clip and llama"), target)
    assert (ended.code, "there is something already" in ended.stderr) == (2, True)
    assert contents(tmp_path) == before


def test_an_empty_folder_is_taken(runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight) -> None:
    (tmp_path / "exported").mkdir()
    assert finesight("export", runs("clip and llama"), tmp_path / "exported", "--questions", 3).code == 0
    assert (tmp_path / "exported" / "model.safetensors").exists()


def test_a_full_disk_is_told_before_anything_is_written(
    runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_place.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    ended = finesight("export", runs("clip and llama"), tmp_path / "below" / "exported")
    assert (ended.code, "0.0 GiB free" in ended.stderr) == (2, True), ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["save_checkpoint", "load_model", "write_card"])
def test_an_interruption_leaves_nothing(
    where: str, runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"finesight.export.{where}", interrupt)
    assert finesight("export", runs("clip and llama"), tmp_path / "exported").code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "message"),
    [("rehearsal.json", "a rehearsal"), ("evaluation/model/held_out.jsonl", "an evaluation"), (None, "not finished")],
)
def test_what_holds_no_tuned_model_is_refused(
    file: str | None, message: str, runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs("clip and llama"), run)
    if file is None:
        (run / "verdict.json").unlink()
    else:
        (run / file).parent.mkdir(exist_ok=True)
        (run / file).write_text("{}")
    ended = finesight("export", run, tmp_path / "exported")
    assert (ended.code, message in ended.stderr) == (2, True), ended.stderr


def test_the_data_may_lie_elsewhere_now(runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight) -> None:
    shutil.copytree(runs("clip and llama").parent, tmp_path / "moved")
    run = tmp_path / "moved" / "run"
    environment = json.loads((run / "environment.json").read_text("utf-8"))
    (run / "environment.json").write_text(json.dumps({**environment, "data_root": str(tmp_path / "gone")}))
    assert finesight("export", run, tmp_path / "exported").code == 2
    ended = finesight("export", run, tmp_path / "exported", "--data-root", tmp_path / "moved")
    assert ended.code == 0, ended.stderr


class Hub:
    """Stands in for the Hugging Face hub, and notes what it is asked."""

    def __init__(self, *, private: bool = True, fault: Exception | None = None) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.is_private, self.fault = private, fault

    def create_repo(self, name: str, **settings: Any) -> Any:
        self.asked.append(("create_repo", {"name": name, **settings}))
        if self.fault:
            raise self.fault
        return Address(f"https://hub/somebody/{name}")

    def model_info(self, name: str) -> Any:
        return SimpleNamespace(private=self.is_private)

    def upload_folder(self, **settings: Any) -> None:
        self.asked.append(("upload_folder", settings))


class Address(str):
    """A repository's address, as the hub gives it."""

    @property
    def repo_id(self) -> str:
        return "/".join(self.split("/")[-2:])


def push(hub: Hub, run: Path, folder: Path, finesight: Finesight, monkeypatch: pytest.MonkeyPatch) -> Ended:
    monkeypatch.setattr("finesight.exporting.push.HfApi", lambda: hub)
    return finesight("export", run, folder, "--push-to-hub", "tuned", "--private")


def test_it_is_pushed_to_the_hub(
    runs: Callable[[str], Path], tmp_path: Path, finesight: Finesight, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, folder = Hub(), tmp_path / "exported"
    ended = push(hub, runs("clip and llama"), folder, finesight, monkeypatch)
    assert ended.code == 0, ended.stderr
    assert "https://hub/somebody/tuned" in ended.stdout
    created, uploaded = hub.asked
    assert created == ("create_repo", {"name": "tuned", "private": True, "exist_ok": True})
    assert uploaded[0] == "upload_folder"
    assert {**uploaded[1], "commit_message": ""} == {
        "folder_path": folder, "repo_id": "somebody/tuned", "commit_message": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        (Hub(private=False), "is there already, and public"),
        (
            Hub(fault=LocalTokenNotFoundError("Token is required\nand more")),
            "the hub does not take it (Token is required)",
        ),
        (Hub(fault=HFValidationError("no name")), "the hub does not take it (no name)"),
    ],
)
def test_what_the_hub_does_not_take_stays_here(
    hub: Hub,
    message: str,
    runs: Callable[[str], Path],
    tmp_path: Path,
    finesight: Finesight,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = push(hub, runs("clip and llama"), tmp_path / "exported", finesight, monkeypatch)
    assert (ended.code, message in ended.stderr) == (2, True), ended.stderr
    assert [name for name, _ in hub.asked] == ["create_repo"]
    assert (tmp_path / "exported" / "model.safetensors").exists()


def test_private_alone_is_refused_at_once(tmp_path: Path, finesight: Finesight) -> None:
    ended = finesight("export", tmp_path, tmp_path / "exported", "--private")
    assert (ended.code, "--push-to-hub" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("theirs", "rounded", "holds"),
    [
        (Answered("red", -1.0), False, True),
        (Answered("red", -1.0005), False, True),
        (Answered("red", -1.01), False, False),
        (Answered("red", -1.03), True, True),
        (Answered("red", -1.05), True, False),
        (Answered("blue", -1.0), False, False),
        (Answered("blue", -1.0), True, True),
        (Answered("red", float("nan")), True, False),
    ],
)
def test_when_two_models_are_one(theirs: Answered, rounded: bool, holds: bool) -> None:
    ours = {"1": Answered("red", -1.0), "2": Answered("no", -3.0)}
    agreement = compare_answers(ours, {"1": theirs, "2": ours["2"]}, rounded=rounded)
    assert agreement.holds == holds
    assert [name for name, _, _ in agreement.disagreed] == ([] if holds else ["1"])
    assert agreement.same == 1 + (theirs.text == "red")


@pytest.mark.parametrize(("apart", "holds"), [(0.2, True), (0.3, False)])
def test_one_close_call_among_many_is_no_other_model(apart: float, holds: bool) -> None:
    ours = {str(number): Answered("red", -1.0) for number in range(100)}
    agreement = compare_answers(ours, {**ours, "7": Answered("red", -1.0 - apart)}, rounded=True)
    assert agreement.holds == holds


class Picture:
    """A picture in a file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)

    def open(self) -> Any:
        from PIL import Image

        return Image.open(self.name).convert("RGB")

    def content_hash(self) -> str:
        return self.name
