"""moondream2 from the beginning of a run to its end, and what a run looks at before it begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from small_runs import FROM_QUESTIONS, Finesight, WriteRecipe, scores, whole, write_questions

from moondream_making import write_moondream

LANGUAGE = {"method": "lora", "r": 4, "target_modules": ["Wqkv", "out_proj"]}


def sections(**model: Any) -> dict[str, Any]:
    return {
        "model": {"kind": "moondream", "name_or_path": "moondream", **model},
        "data": dict(FROM_QUESTIONS),
        "tune": {"vision": "frozen", "projector": "frozen", "language": LANGUAGE},
        "train": {"max_steps": 4, "global_batch_size": 4, "learning_rate": 1e-2, "eval_steps": 2},
    }


@pytest.mark.parametrize(("year", "crops"), [("2024", "single"), ("2025", "several")])
def test_a_run_tunes_the_fused_projections(year: str, crops: str, tmp_path: Path) -> None:
    write_moondream(tmp_path / "moondream", year)
    write_questions(tmp_path / "data")
    run = whole(tmp_path, sections(crops=crops))
    (table,) = json.loads((run / "parameters.json").read_text(encoding="utf-8"))["stages"]
    parts = {part["part"]: part["learning"] for part in table["parts"]}
    width, layers = 48, 2
    assert parts == {"vision": 0, "projector": 0, "language": layers * 4 * (width + 3 * width + width + width)}
    (task,) = scores(run)
    assert set(task["scores"]) >= {"before", "after", "blind"}
    checked = json.loads((run / "checks.json").read_text(encoding="utf-8"))["stages"][0]["checks"]
    checks = {check["name"]: check for check in checked}
    assert checks["image tokens"]["status"] == "pass"
    assert [name for name, check in checks.items() if check["status"] == "failure"] == []


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_every_verb_knows_it(year: str, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    write_moondream(tmp_path / "moondream", year)
    write_questions(tmp_path / "data")
    recipe = write_recipe(**sections(), evaluate=[{"name": "held_out", "from": "test", "max_new_tokens": 4}])
    checked = finesight("check", recipe)
    assert checked.code == 0, checked.stderr
    looked = finesight("look", recipe, "--output", tmp_path / "look.html")
    assert looked.code == 0, looked.stderr
    assert "finesight" in (tmp_path / "look.html").read_text(encoding="utf-8")
    counted = json.loads(finesight("params", recipe, "--json").stdout)
    ended = finesight("run", recipe, "--output", tmp_path / "run", "--keep-images", "features")
    assert ended.code == 0, ended.stderr
    table = json.loads((tmp_path / "run" / "parameters.json").read_text(encoding="utf-8"))["stages"]
    assert [stage["total"] for stage in table] == [stage["total"] for stage in counted["stages"]]
    asked = finesight("ask", tmp_path / "run", tmp_path / "data" / "3.png", "Is it blue?")
    assert asked.code == 0, asked.stderr
    exported = finesight("export", tmp_path / "run", tmp_path / "exported")
    assert exported.code == 0, exported.stderr
    published, written = (load_file(tmp_path / name / "model.safetensors") for name in ("moondream", "exported"))
    assert published.keys() == written.keys()
    measured = finesight("evaluate", tmp_path / "exported", recipe, "--output", tmp_path / "measured")
    assert measured.code == 0, measured.stderr


@pytest.mark.parametrize("revision", ["2024-08-26", "2025-06-21"])
def test_a_rehearsal_has_the_layout_of_the_year(
    revision: str, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    write_questions(tmp_path / "data")
    model = {"name_or_path": "vikhyatk/moondream2", "revision": revision}
    ended = finesight("run", write_recipe(**sections(**model)), "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    names = load_file(tmp_path / "run" / "rehearsal" / model["name_or_path"] / "model.safetensors").keys()
    assert ("model.text.wte" in names) == revision.startswith("2025")
    assert ("text_model.transformer.embd.wte.weight" in names) == revision.startswith("2024")
