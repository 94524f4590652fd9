"""With neither network nor weights: counting, checking and rehearsing a recipe whose models are known by blueprint."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from small_runs import Finesight

NAMES = ("openai/clip-vit-large-patch14-336", "TinyLlama/TinyLlama-1.1B-Chat-v1.0")
STEPS = {"max_steps": 4, "global_batch_size": 4}
RECIPE = {
    "name": "known",
    "model": {
        "kind": "assembled",
        "vision": {"name_or_path": NAMES[0]},
        "language": {"name_or_path": NAMES[1]},
        "image_token": "<unk>",
    },
    "data": {"train": [{"kind": "vqa_json", "file": "rows.json"}], "max_length": 768},
    "stages": [
        {"name": "align", "tune": {"projector": "full"}, "train": STEPS},
        {"name": "joint", "tune": {"vision": "full", "projector": "full", "language": "full"}, "train": STEPS},
    ],
    "evaluate": [{"name": "held_out", "from": "test"}],
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe alone: no data beside it, nothing in the hub's cache, no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    path = tmp_path / "home" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(RECIPE, sort_keys=False), encoding="utf-8")
    return path


def test_parameters_are_counted_and_what_stands_in_is_said_once(finesight: Finesight, recipe: Path) -> None:
    ended = finesight("params", recipe, "--json")
    assert ended.code == 0
    align, joint = json.loads(ended.stdout)["stages"]
    assert (align["trainable"], joint["trainable"], joint["total"]) == (6_295_552, 1_409_851_392, 1_409_851_392)
    said = "is not on this machine: its blueprint stands in (finesight list blueprints)"
    assert ended.stderr.splitlines() == [f"{name} {said}" for name in NAMES]


def test_check_holds_the_model_against_what_is_published_before_the_data(finesight: Finesight, recipe: Path) -> None:
    ended = finesight("check", recipe)
    assert ended.code == 2
    assert "rows.json" in ended.stderr
    assert ended.stdout.splitlines()[1:] == [
        f"ok      tensors of {name}: all {count} that are published fit the model that its blueprint describes"
        for name, count in zip(NAMES, (592, 201), strict=True)
    ]


def test_check_names_the_tensors_of_a_configuration_that_is_not_the_published_one(
    finesight: Finesight, recipe: Path, tmp_path: Path
) -> None:
    from transformers import LlamaConfig

    cached = tmp_path / "hub" / f"models--{NAMES[1].replace('/', '--')}"
    LlamaConfig(hidden_size=2048, num_hidden_layers=22).save_pretrained(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    told = finesight("check", recipe).stdout.splitlines()
    assert told[2].startswith(f"FAILED  tensors of {NAMES[1]}: what is published does not fit the model that its conf")
    assert "misshapen: 110 (model.layers.0.mlp.down_proj.weight, " in told[2]
    assert told[3].strip() == "hint: is the config.json on this machine of the revision that the recipe names?"


def test_a_rehearsal_is_cut_from_the_blueprints(finesight: Finesight, recipe: Path, tmp_path: Path) -> None:
    ended = finesight("run", recipe, "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert "ASSUMED" not in ended.stderr
    for name in NAMES:
        assert f"model: {name} is not on this machine: its blueprint stands in" in ended.stderr
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text(encoding="utf-8"))
    assert (config["vision_config"]["hidden_act"], config["text_config"]["rms_norm_eps"]) == ("quick_gelu", 1e-5)
    replaced = json.loads((tmp_path / "run" / "rehearsal.json").read_text(encoding="utf-8"))["replaced"]
    assert f"model: {NAMES[1]}: a small tokenizer, with its special tokens and template" in replaced
