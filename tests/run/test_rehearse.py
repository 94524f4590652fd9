"""Rehearsals: the whole run of a recipe without its weights, its data or a network, and never taken for a result."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import RECIPE, Ended, Finesight, WriteRecipe, contents, read_json_lines

from finesight.recipe.builtin import find_recipe
from finesight.recipe.reading import read_recipe

README = Path(__file__).resolve().parents[2] / "README.md"
COMPLETE = (
    "recipe.yaml", "environment.json", "rehearsal.json", "data.json", "parameters.json", "checks.json",
    "metrics.jsonl", "verdict.json", "report.html", "model/config.json",
)  # fmt: skip


def rehearse(finesight: Finesight, recipe: object, output: Path, *options: object) -> Ended:
    """Rehearse a recipe and make sure that every step of a run was gone through."""
    ended = finesight("run", recipe, "--rehearse", "--output", output, *options)
    assert ended.code == 0, ended.stderr
    assert [name for name in COMPLETE if not (output / name).is_file()] == []
    assert ended.last_line() == str(output)
    return ended


def write(folder: Path, **sections: Any) -> Path:
    """Write a recipe of these sections and the small recipe's seed."""
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "rehearsed", "seed": 7, **sections}, sort_keys=False), encoding="utf-8")
    return path


ONE_A_FAMILY = (
    "coco-captions",  # assembled of configurations
    "llava-gemma-ru",
    "moondream2-vqa-replay",
    "puzzle-vqa",  # multiple choice
    "starter/pretrain",  # stages that learn from sources of their own
    "svg-caption-gemma",  # a text model in 4 bits
    "tinyllama-clip-medvqa-lora",  # assembled of checkpoints, in two stages
    "text-starter",
)
"""`make rehearse-all` rehearses them all."""


@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_a_recipe_of_each_family_rehearses(name: str, finesight: Finesight, tmp_path: Path) -> None:
    rehearse(finesight, name, tmp_path / "run")
    stages = read_recipe(tmp_path / "run" / "recipe.yaml").recipe.each_stage()
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [stage.sources for stage in stages] == [
        stage.sources for stage in read_recipe(find_recipe(name)).recipe.each_stage()
    ]
    for stage in stages:
        assert [row["step"] for row in rows if row["stage"] == stage.name and row["kind"] == "validation"] == [2, 4]
        assert (tmp_path / "run" / "checkpoints" / stage.name / "best.json").is_file()


def test_the_recipe_of_the_readme_rehearses(finesight: Finesight, tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(name:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    rehearse(finesight, recipe, tmp_path / "run")
    told = json.loads((tmp_path / "run" / "data.json").read_text())
    assert told["sets"]["task:general"]["by_source"] == {"vqav2-small": 16}
    assert told["sets"]["train"]["by_role"].keys() == {"train", "replay"}
    assert told["leaks"] == []


def test_it_is_said_first_and_last_that_the_figures_mean_nothing(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    ended = rehearse(finesight, write_recipe(), tmp_path / "run")
    assert ended.stderr.splitlines()[0].startswith("This is a rehearsal")
    *_, word, page, _ = ended.stdout.splitlines()
    assert re.match(r"This was a rehearsal of \d+ seconds.*mean nothing", word)
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())["headline"]
    assert verdict["verdict"] == "rehearsal"
    assert "<h1>Rehearsal</h1>" in Path(page).read_text(encoding="utf-8")
    assert finesight("report", tmp_path / "run").code == 0
    assert "A rehearsal, not a result" in Path(page).read_text(encoding="utf-8")


def test_a_rehearsal_is_never_compared_or_evaluated(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe, run = write_recipe(), tmp_path / "run"
    rehearse(finesight, recipe, run)
    for arguments in (("compare", run, f"{run}@before"), ("evaluate", run, recipe)):
        refused = finesight(*arguments)
        assert refused.code == 2
        assert "a rehearsal" in refused.stderr


def test_it_writes_nothing_outside_its_folder(finesight: Finesight, tmp_path: Path) -> None:
    """Even of a recipe that names files above its own folder, and files that are there."""
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "rows.jsonl").write_text('{"mine": 1}\n', encoding="utf-8")
    source = {"kind": "llava_json", "file": "../above/rows.jsonl", "images": str(tmp_path / "pictures")}
    recipe = write(tmp_path / "home", **{**small(), "data": {"train": [source]}})
    before = contents(tmp_path)
    rehearse(finesight, recipe, tmp_path / "run")
    assert {name: held for name, held in contents(tmp_path).items() if not name.startswith("run/")} == before


def test_it_can_be_resumed_and_needs_nothing_but_its_folder(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe, run = write_recipe(), tmp_path / "run"
    rehearse(finesight, recipe, run)
    recipe.unlink()
    (run / "verdict.json").unlink()
    again = finesight("run", "--resume", run)
    assert again.code == 0
    assert again.stderr.startswith("This is a rehearsal")
    assert json.loads((run / "verdict.json").read_text())["headline"]["verdict"] == "rehearsal"


def small() -> dict[str, Any]:
    """Return the sections of a small recipe."""
    return {name: RECIPE[name] for name in ("model", "data", "tune", "train", "evaluate")}


def test_sources_are_read_by_their_own_columns_files_and_splits(finesight: Finesight, tmp_path: Path) -> None:
    columns = {"id": "qid", "image": "picture", "question": "q", "answer": "a", "answers": "all", "group": "patient",
               "question_type": "kind", "answer_type": "form"}  # fmt: skip
    hub = {"kind": "vqa_parquet", "dataset": "nobody/none-such", "split": "dev-2", "columns": columns}
    recipe = write(
        tmp_path / "home",
        **{
            **small(),
            "data": {
                "train": [
                    {"kind": "vqa_json", "file": "deep/rows.jsonl", "images": "deep/pictures", "columns": columns},
                    {**hub, "max_samples": 200, "role": "replay"},
                ],
                "validation": [{"kind": "llava_json", "file": "talks.json", "max_samples": 50}],
                "test": [{"kind": "vqa_parquet", "dataset": "tables/test.parquet", "columns": columns}],
            },
            "evaluate": [
                {"name": "held_out", "from": "test"},
                {"name": "general", "role": "forgetting", "max_samples": 300, **hub},
                {"name": "talked", "kind": "llava_json", "file": "talks.json", "max_samples": 9},
            ],
        },
    )
    rehearse(finesight, recipe, tmp_path / "run")
    stand_ins = tmp_path / "run" / "rehearsal"
    rows = read_json_lines(stand_ins / "deep" / "rows.jsonl")
    assert rows[0].keys() == set(columns.values())
    assert (stand_ins / "deep" / "pictures" / rows[0]["picture"]).is_file()
    assert (stand_ins / "tables" / "test.parquet").is_file()
    assert list((stand_ins / "nobody" / "none-such" / "dev-2").glob("*.parquet"))
    records = read_json_lines(tmp_path / "run" / "evaluation" / "after" / "held_out.jsonl")
    assert len(records) == 16
    assert {record["question_type"] for record in records} == {"colour", "exist"}
    assert len(records[0]["references"]) == 2
    assert records[0]["group"].startswith("group:")
    assert len(read_json_lines(tmp_path / "run" / "evaluation" / "after" / "talked.jsonl")) == 9


def test_two_stages_of_a_checkpoint_that_is_nowhere(finesight: Finesight, tmp_path: Path) -> None:
    """Its architecture is assumed, and that is said loudly; adapters and cadence are the recipe's own, cut to fit."""
    train = {"global_batch_size": 64, "learning_rate": 1e-3, "eval_steps": 500, "save_steps": 500, "max_steps": 9000}
    lora = {"method": "lora", "r": 64, "lora_alpha": 128, "target_modules": ["q_proj", "v_proj"]}
    recipe = write(
        tmp_path / "home",
        **{
            **small(),
            "model": {"kind": "llava", "name_or_path": "nobody/none-such", "image_size": 448, "system_prompt": "Look."},
            "tune": None,
            "train": None,
            "stages": [
                {"name": "align", "tune": {"projector": "full"}, "train": train},
                {"name": "joint", "tune": {"projector": "full", "language": lora}, "train": {**train, "bf16": True}},
            ],
        },
    )
    ended = rehearse(finesight, recipe, tmp_path / "run")
    assert "warning: nobody/none-such is not on this machine" in ended.stderr
    assert "ASSUMED" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    done = read_recipe(tmp_path / "run" / "recipe.yaml").recipe
    adapter = done.stages[1].tune.language
    assert (adapter.r, adapter.lora_alpha, adapter.target_modules) == (4, 8, ("q_proj", "v_proj"))
    assert (tmp_path / "run" / "checkpoints" / "joint" / "best.json").is_file()


@pytest.mark.parametrize("kept", ["here", "nowhere"])
def test_parts_of_siglip_and_gemma(kept: str, finesight: Finesight, tmp_path: Path, save_parts: Any) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if kept == "here":
        save_parts(home / "parts" / "siglip", home / "parts" / "gemma")
    model = {"kind": "assembled", "vision": {"name_or_path": "parts/siglip"},
             "language": {"name_or_path": "parts/gemma"}, "tokenizer": {"name_or_path": "parts/gemma"},
             "vision_feature_layer": -1,
             "vision_feature_select_strategy": "full", "chat_template": "plain"}  # fmt: skip
    tune = {"projector": "full", "language": {"method": "lora", "r": 8}}
    ended = rehearse(finesight, write(home, **{**small(), "model": model, "tune": tune}), tmp_path / "run")
    assert ("ASSUMED" in ended.stderr) == (kept == "nowhere")
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["vision_config"]["model_type"] == "siglip_vision_model"
    assert config["text_config"]["model_type"] == "gemma"
    if kept == "here":
        assert config["vision_config"]["hidden_act"] == "relu"
        tokenizer = json.loads((home / "parts" / "gemma" / "tokenizer.json").read_text())
        copied = json.loads((tmp_path / "run" / "rehearsal" / "parts" / "gemma" / "tokenizer.json").read_text())
        assert copied == tokenizer


@pytest.fixture
def save_parts() -> Any:
    """Saves a SigLIP with a setting of its own, and a Gemma with its tokenizer."""
    from transformers import GemmaConfig, GemmaForCausalLM, SiglipConfig, SiglipImageProcessorPil, SiglipModel

    from finesight.models.tokenizers import learn_tokenizer

    sizes = {"hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 5, "num_attention_heads": 8}

    def save(vision: Path, language: Path) -> None:
        pictures = {**sizes, "image_size": 96, "patch_size": 8, "hidden_act": "relu"}
        SiglipModel(SiglipConfig(vision_config=pictures, text_config={**sizes, "vocab_size": 50})).save_pretrained(
            vision
        )
        SiglipImageProcessorPil(size={"height": 96, "width": 96}).save_pretrained(vision)
        tokenizer = learn_tokenizer(["what is red?", "a red disc"] * 20, 320)
        ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        config = GemmaConfig(**sizes, **ends, num_key_value_heads=1, head_dim=32, vocab_size=len(tokenizer))
        GemmaForCausalLM(config).save_pretrained(language)
        tokenizer.save_pretrained(language)

    return save


def test_a_checkpoint_at_hand_keeps_its_template_and_geometry(
    finesight: Finesight, tmp_path: Path, make_model: Any
) -> None:
    """Its weights are never read: they may be missing."""
    home = tmp_path / "home"
    loaded = make_model()
    loaded.model.config.vision_feature_layer = 2
    loaded.model.config.save_pretrained(home / "llava")
    template = "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    loaded.formatter.tokenizer.chat_template = template + "{% if add_generation_prompt %}<s>assistant:{% endif %}"
    loaded.formatter.tokenizer.save_pretrained(home / "llava")
    loaded.formatter.image_processor.save_pretrained(home / "llava")
    model = {"kind": "llava", "name_or_path": "llava", "image_size": 48}
    ended = rehearse(finesight, write(home, **{**small(), "model": model}), tmp_path / "run")
    assert "ASSUMED" not in ended.stderr
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["vision_feature_layer"] == -2
    assert config["vision_config"]["patch_size"] == 8
    assert "<s>assistant:" in (tmp_path / "run" / "model" / "chat_template.jinja").read_text()


@pytest.mark.parametrize(
    ("section", "value", "told"),
    [
        ("tune", {"language": {"method": "lora", "target_modules": ["Wqkv"]}}, "Wqkv"),
        ("model", {**RECIPE["model"], "vision_feature_layer": 7}, "vision_feature_layer"),
        ("model", {**RECIPE["model"], "chat_template": "none.jinja"}, "none.jinja"),
        ("train", {"max_steps": 3, "early_stopping": {"patience_steps": 1, "metric": "eval_none"}}, "eval_none"),
    ],
)
def test_faults_of_the_recipe_are_found_and_leave_nothing_behind(
    section: str, value: Any, told: str, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe, output = write_recipe(**{section: value}), tmp_path / "run"
    refused = finesight("run", recipe, "--rehearse", "--output", output)
    assert refused.code == 2
    assert told in refused.stderr
    assert not output.exists()


def test_resuming_and_rehearsing_exclude_each_other(finesight: Finesight, tmp_path: Path) -> None:
    refused = finesight("run", "--resume", tmp_path, "--rehearse")
    assert refused.code == 2
    assert "--rehearse" in refused.stderr


def test_of_a_checkpoint_whose_configuration_alone_is_cached_the_rest_is_assumed(
    finesight: Finesight, tmp_path: Path, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from finesight.models.assemble import assembled_config

    cached = tmp_path / "hub" / "models--nobody--none-such"
    config = assembled_config(make_spec("siglip_vision_model", "gemma"), tmp_path)
    config.save_pretrained(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    model = {"kind": "llava", "name_or_path": "nobody/none-such"}
    ended = rehearse(finesight, write(tmp_path / "home", **{**small(), "model": model}), tmp_path / "run")
    assert "nobody/none-such: its tokenizer is not on this machine" in ended.stderr
    assert "architecture" not in ended.stderr
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert (config["vision_config"]["model_type"], config["text_config"]["model_type"]) == (
        "siglip_vision_model",
        "gemma",
    )


@pytest.mark.parametrize("source", [{"kind": "vqa_json", "file": "a.json"}, {"kind": "vqa_parquet", "dataset": "a/b"}])
def test_a_text_model_is_given_no_pictures(source: Any, finesight: Finesight, tmp_path: Path) -> None:
    model = {"kind": "text", "name_or_path": "nobody/none-such"}
    sections = {**small(), "model": model, "data": {"train": [source]}, "tune": {"language": "full"}}
    rehearse(finesight, write(tmp_path / "home", **sections), tmp_path / "run")
    assert list((tmp_path / "run" / "rehearsal").rglob("*.png")) == []


def test_four_bit_weights_stay_where_the_machine_can(
    finesight: Finesight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"kind": "llava", "name_or_path": "nobody/none-such", "quantization": {"bnb_4bit_quant_type": "nf4"}}
    tune = {"projector": "full", "language": {"method": "lora"}}
    recipe = write(tmp_path / "home", **{**small(), "model": model, "tune": tune})
    monkeypatch.setattr("finesight.models.miniature.find_spec", lambda name: None)
    ended = rehearse(finesight, recipe, tmp_path / "without")
    assert "model.quantization is left out" in ended.stderr
    assert read_recipe(tmp_path / "without" / "recipe.yaml").recipe.model.quantization == "none"
    monkeypatch.undo()
    pytest.importorskip("bitsandbytes")
    rehearse(finesight, recipe, tmp_path / "with")
    assert read_recipe(tmp_path / "with" / "recipe.yaml").recipe.model.quantization != "none"


def test_what_only_a_gpu_can_do_is_left_out_loudly(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    train = {**RECIPE["train"], "fp16": True, "optim": "paged_adamw_8bit"}
    ended = rehearse(finesight, write_recipe(train=train), tmp_path / "run")
    assert "train.fp16 is left out" in ended.stderr
    assert "8bit: this machine has no GPU" in ended.stderr or "which needs bitsandbytes" in ended.stderr
