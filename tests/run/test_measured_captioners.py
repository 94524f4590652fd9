"""`finesight evaluate captioners.yaml`: programs, models of the hub and tuned models on the same pictures."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import Finesight, read_json_lines, whole

from finesight.rundir import RunDir

CAPTIONS = {
    "name": "captions", "kind": "scenes", "scenes": 6, "first_scene": 900, "questions_per_scene": 0,
    "captions_per_scene": 1, "image_size": 32, "max_new_tokens": 8, "also": ["exact_match"],
}  # fmt: skip
LEARNED = {**CAPTIONS, "scenes": 12, "first_scene": 0}
TEXT_RUN = {
    "model": {
        "kind": "text",
        "config": {
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 400, "max_position_embeddings": 1024,
            "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
        },
        "tokenizer": {"vocab_size": 400},
        "chat_template": "plain",
    },
    "data": {
        "train": [
            {name: LEARNED[name] for name in ("kind", "scenes", "questions_per_scene", "captions_per_scene")}
            | {"context": "svg"}
        ],
        "split": {"validation": 0.2, "test": 0.2},
    },
    "tune": {"language": "full"},
    "train": {"max_steps": 2, "global_batch_size": 4, "learning_rate": 1e-3, "eval_steps": 2},
}  # fmt: skip
PAGE = Path(__file__).parents[2] / "docs" / "captioners.md"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a recipe of the page's own program, beside it; keywords replace sections."""

    def write_it(*captioners: dict[str, Any], **sections: Any) -> Path:
        content = {"name": "table", "captioners": captioners or [own()], "evaluate": [CAPTIONS], **sections}
        path = tmp_path / "captioners.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "caption.py").write_text(program, encoding="utf-8")
    return write_it


def own(name: str = "own", program: str = "caption.py", **settings: Any) -> dict[str, Any]:
    return {"kind": "command", "name": name, "command": [sys.executable, program], **settings}


def predictions(folder: Path, name: str) -> dict[str, str]:
    rows = read_json_lines(folder / "evaluation" / name / "captions.jsonl")
    return {row["id"]: row["prediction"] for row in rows}


def test_the_page_s_recipe_can_be_read_and_its_program_describes(
    finesight: Finesight, write: Write, tmp_path: Path
) -> None:
    recipe = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert recipe is not None
    page = tmp_path / "page.yaml"
    page.write_text(recipe[1], encoding="utf-8")
    ended = finesight("evaluate", page)
    assert ended.code == 2
    assert "cogvlm: there is no program envs/cogvlm/bin/python" in ended.stderr

    folder = tmp_path / "folder"
    ended = finesight("evaluate", write(), "--output", folder)
    assert ended.code == 0, ended.stderr
    assert ended.last_line() == str(folder)
    rows = [line.split() for line in ended.stdout.splitlines() if " % " in line and "interval" not in line]
    assert [row[0] for row in rows] == ["own", "Majority", "By"]
    assert "6 pictures in 6 groups" in ended.stdout
    assert set(predictions(folder, "own").values()) == {"a picture of 32 by 32 pixels"}
    (task,) = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["tasks"]
    assert list(task["scores"]) == ["own", "majority", "majority_by_question_type"]
    assert [entry["metric"] for entry in task["also"]] == ["exact_match"]
    assert task["scores"]["own"]["score"] == 0 < task["scores"]["majority"]["score"]
    assert task["also"][0]["scores"] == task["scores"]
    assert finesight("compare", f"{folder}@own", f"{folder}@majority").code == 0
    for verb in ("report", "ask"):
        ended = finesight(verb, folder, *([tmp_path / "x.png", "what?"] if verb == "ask" else []))
        assert ended.code == 2
        assert "evaluation" in ended.stderr


def test_what_was_answered_before_a_crash_is_not_asked_again(
    finesight: Finesight, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "half.py").write_text(
        (tmp_path / "caption.py").read_text(encoding="utf-8")
        + "    open('asked', 'a').write(asked['id'] + ' ')\n"
        + "    assert len(open('asked').read().split()) != 4, 'not the fourth'\n",
        encoding="utf-8",
    )
    folder = tmp_path / "folder"
    recipe = write(own(program="half.py"), own("second"))
    ended = finesight("evaluate", recipe, "--output", folder)
    assert ended.code == 2
    assert "own: it ended with exit code 1; 2 of 6 captions are missing" in ended.stderr
    assert "AssertionError: not the fourth" in ended.stderr
    assert f"finesight evaluate {recipe} --output {folder}" in ended.stderr
    kept = predictions(folder, "own")
    assert len(kept) == 4
    assert not (folder / "evaluation" / "second").exists()

    ended = finesight("evaluate", recipe, "--output", folder, "--json")
    assert ended.code == 0, ended.stderr
    asked = (tmp_path / "asked").read_text(encoding="utf-8").split()
    assert len(asked) == len(set(asked)) == 6
    assert list(predictions(folder, "own").items())[:4] == list(kept.items())
    (task,) = json.loads(ended.stdout)["tasks"]
    assert list(task["scores"])[:2] == ["own", "second"]
    assert task["scores"]["own"] == task["scores"]["second"]
    assert "not the fourth" in (folder / "captioners" / "own.log").read_text(encoding="utf-8")


def test_a_text_model_reads_the_drawings_that_captioners_see(
    finesight: Finesight, write: Write, tmp_path: Path
) -> None:
    evaluate = [{"name": "held_out", "from": "test", "max_new_tokens": 8}]
    run = whole(tmp_path, {**TEXT_RUN, "evaluate": evaluate})
    models = [{"name": "tuned", "run": "run"}, {"name": "untuned", "run": "run", "tuned": False}]
    folder = tmp_path / "folder"
    recipe = write(models=models, evaluate=[{**CAPTIONS, "context": "both"}])
    ended = finesight("evaluate", recipe, "--output", folder)
    assert ended.code == 0, ended.stderr
    answered = {name: predictions(folder, name) for name in ("own", "tuned", "untuned")}
    assert set(answered["own"]) == set(answered["tuned"]) == set(answered["untuned"])
    (task,) = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["tasks"]
    assert list(task["scores"])[:3] == ["own", "tuned", "untuned"]
    assert "warning" not in ended.stderr

    alone = {**CAPTIONS, "context": "svg"}
    text = yaml.safe_dump({**yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8")), "evaluate": [alone]})
    (tmp_path / "alone.yaml").write_text(text, encoding="utf-8")
    ended = finesight("evaluate", run, tmp_path / "alone.yaml", "--output", tmp_path / "alone")
    assert ended.code == 0, ended.stderr
    assert predictions(tmp_path / "alone", "model") == answered["tuned"]

    learned = {**CAPTIONS, "context": "both", "first_scene": 0}
    ended = finesight("evaluate", write(models=models, evaluate=[learned]), "--output", tmp_path / "learned", "--json")
    assert ended.code == 0, ended.stderr
    warning = "tuned: it has learned from 6 of 6 examples of the task captions (same text)"
    assert json.loads(ended.stdout)["warnings"] == [warning]
    assert f"warning: {warning}" in ended.stderr

    ended = finesight("evaluate", write(models=models), "--output", tmp_path / "pictures")
    assert ended.code == 2
    assert "6 of 6 examples are pictures without text" in ended.stderr
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize(
    ("data", "task", "said"),
    [
        (
            "captions_coco",
            {"kind": "coco_captions", "file": "annotations/captions_val2017.json", "images": "val2017"},
            r"a picture of \d{3} by \d{3} pixels",
        ),
        (
            "svg_openmoji",
            {
                "kind": "svg_captions", "file": "openmoji.json", "xml": None, "file_name": "color/svg/{hexcode}.svg",
                "caption": "annotation", "context": "image", "image_size": 48,
            },
            "a picture of 48 by 48 pixels",
        ),
    ],
    ids=["photographs", "drawings"],
)  # fmt: skip
def test_real_pictures_are_described(
    finesight: Finesight, write: Write, tmp_path: Path, shared: Path, data: str, task: dict[str, Any], said: str
) -> None:
    root, folder = shared / "data" / data, tmp_path / "folder"
    if not root.is_dir():
        pytest.skip(f"the real data, ../shared/data/{data}, are not there")
    program = own(program=str(tmp_path / "caption.py"))
    recipe = write(program, evaluate=[{"name": "captions", "max_samples": 7, "metric": "token_f1", **task}])
    ended = finesight("evaluate", recipe, "--data-root", root, "--output", folder)
    assert ended.code == 0, ended.stderr
    captions = predictions(folder, "own")
    assert len(captions) == 7
    assert all(re.fullmatch(said, caption) for caption in captions.values())


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"models": [{"name": "tuned", "run": "nowhere"}]}, "nowhere: not a run folder"),
        ({"evaluate": [{**CAPTIONS, "questions_per_scene": 2, "dialogues_per_scene": 1}]}, "conversations"),
        (
            {"evaluate": [{"name": "read", "kind": "llava_json", "file": "text.json"}]},
            "1 of 1 examples are not about one",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything(
    finesight: Finesight, write: Write, tmp_path: Path, sections: dict[str, Any], told: str
) -> None:
    said = {"from": "human", "value": "Is it so?"}, {"from": "gpt", "value": "yes"}
    (tmp_path / "text.json").write_text(json.dumps([{"conversations": said}]), encoding="utf-8")
    folder = tmp_path / "folder"
    ended = finesight("evaluate", write(**sections), "--output", folder)
    assert (ended.code, folder.exists()) == (2, False)
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_metric_that_cannot_be_had_is_told_before_anybody_is_asked(
    finesight: Finesight, write: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    recipe = write(evaluate=[{**CAPTIONS, "also": ["choice_accuracy"]}])
    ended = finesight("evaluate", recipe, "--output", folder)
    assert ended.code == 2
    assert "without choices" in ended.stderr or "no choices" in ended.stderr, ended.stderr
    assert not (folder / "evaluation" / "own").exists()


def test_the_wrong_kind_of_recipe_says_which_is_right(finesight: Finesight, write: Write, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({"name": "run", **TEXT_RUN, "evaluate": [{"name": "held_out", "from": "test"}]}), "utf-8"
    )
    ended = finesight("evaluate", tmp_path / "recipe.yaml")
    assert ended.code == 2
    assert "names no captioners" in ended.stderr and "finesight evaluate RUN_OR_MODEL RECIPE" in ended.stderr
    ended = finesight("run", write())
    assert ended.code == 2
    assert "measured and never tuned" in ended.stderr
    ended = finesight("evaluate", write(), "--task", "captions")
    assert ended.code == 2
    assert "--task" in ended.stderr


def test_a_stopped_evaluation_goes_on(
    finesight: Finesight, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    real, folder = RunDir.append_records, tmp_path / "folder"

    def stopping(self: RunDir, predictor: str, *rest: Any) -> None:
        real(self, predictor, *rest)
        if predictor == "own" and len(self.records("own", "captions")) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    slow = (tmp_path / "caption.py").read_text(encoding="utf-8") + "    __import__('time').sleep(0.3)\n"
    (tmp_path / "caption.py").write_text(slow, encoding="utf-8")
    recipe = write()
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "append_records", stopping)
        ended = finesight("evaluate", recipe, "--output", folder)
    assert ended.code == 130
    assert "go on with" in ended.stderr
    assert 2 <= len(predictions(folder, "own")) < 6
    ended = finesight("evaluate", recipe, "--output", folder)
    assert ended.code == 0, ended.stderr
    assert len(predictions(folder, "own")) == 6
