"""CLIP scores of answers, from the picture to the page: of a run, of captioners, and of anybody's predictions file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import Finesight, WriteRecipe, read_json_lines

from finesight.data.scenes.draw import SceneImage
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.vector import scene_svg
from finesight.evaluate.predictions import read_predictions
from finesight.models.at_hand import find_checkpoint
from finesight.models.clip import load_clip
from finesight.models.clip_scores import CaptionScorer
from finesight.recipe.evaluate import ClipCheckpoint
from finesight.rundir import RunDir

SCENES = {
    "kind": "scenes", "scenes": 6, "first_scene": 900, "questions_per_scene": 0, "captions_per_scene": 1,
    "image_size": 32, "max_new_tokens": 8,
}  # fmt: skip
PREDICTORS = {"before", "after", "blind", "majority", "majority_by_question_type"}


def tasks_with(*others: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": "held_out", "from": "test", "max_new_tokens": 6, "also": ["clip_score", "clip_logit"]},
        {**SCENES, "name": "described", "metric": "ref_clip_score"},
        *others,
    ]


def test_every_answer_of_a_run_is_scored_by_its_picture(
    finesight: Finesight, write_recipe: WriteRecipe, clip_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    watched = {"name": "watched", "from": "validation", "metric": "clip_score", "max_new_tokens": 6}
    recipe = write_recipe(clip={"name_or_path": str(clip_folder)}, evaluate=tasks_with(watched))
    ended = finesight("run", recipe, "--output", run)
    assert ended.code == 0, ended.stderr
    validations = [row for row in read_json_lines(run / "metrics.jsonl") if row["kind"] == "validation"]
    assert validations and all(0 <= row["scores"]["watched"] < 2.5 for row in validations)  # 0 while it says nothing

    tasks = {task["name"]: task for task in json.loads((run / "verdict.json").read_text("utf-8"))["tasks"]}
    assert set(tasks["described"]["scores"]) == PREDICTORS
    assert [entry["metric"] for entry in tasks["held_out"]["also"]] == ["clip_score", "clip_logit"]
    records = RunDir.existing(run).records("after", "described")
    scorer = CaptionScorer(load_clip(str(clip_folder), None, Path()))
    pictures = [SceneImage(int(record.id.split(":")[1].split("-")[0]), 32) for record in records]
    expected = scorer.score(
        pictures, [record.prediction for record in records], [record.references for record in records]
    )
    for name, decimals in (("clip_score", 4), ("ref_clip_score", 4), ("clip_logit", 2)):
        values = [record.image_scores.values[name] for record in records if record.image_scores is not None]
        assert values == pytest.approx(vars(expected)[name].tolist(), abs=0.51 / 10**decimals)
    said = [bool(record.prediction.strip()) for record in records]
    counted = (expected.ref_clip_score * said).mean()
    assert tasks["described"]["scores"]["after"]["score"] == pytest.approx(counted, abs=1e-4)
    assert "ref_clip_score" in (run / "report.html").read_text("utf-8")

    page = tmp_path / "page.html"
    ended = finesight("compare", run, f"{run}@before", "--metric", "clip_score", "--html", page)
    assert ended.code == 0, ended.stderr
    assert "CLIP" in page.read_text("utf-8")


def test_scoring_again_needs_the_pictures_no_more_and_sees_a_changed_answer(
    finesight: Finesight, write_recipe: WriteRecipe, clip_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe = write_recipe(clip={"name_or_path": str(clip_folder)}, evaluate=tasks_with())
    assert finesight("run", recipe, "--output", run).code == 0
    before = (run / "verdict.json").read_bytes()
    kept = (run / "evaluation" / "after" / "described.jsonl").read_bytes()
    assert finesight("rescore", run).code == 0
    assert json.loads((run / "verdict.json").read_bytes()) == json.loads(before)
    assert finesight("run", "--resume", run).code == 0
    assert (run / "evaluation" / "after" / "described.jsonl").read_bytes() == kept

    folder = RunDir.existing(run)
    first, *rest = folder.records("after", "described")
    changed = json.loads(json.dumps(first.to_json())) | {"prediction": "something else"}
    path = folder.records_file("after", "described")
    path.write_text("".join(json.dumps(row) + "\n" for row in [changed, *(each.to_json() for each in rest)]), "utf-8")
    ended = finesight("rescore", run)
    assert ended.code == 2
    assert "1 of 6 records hold CLIP's value of another answer" in ended.stderr
    # Where the pictures are at hand, it is scored anew, and only it.
    assert finesight("run", "--resume", run).code == 0
    scored = folder.records("after", "described")
    assert scored[1:] == rest
    assert scored[0].image_scores != first.image_scores


TEXT_MODEL = {
    "kind": "text", "chat_template": "plain", "tokenizer": {"vocab_size": 400},
    "config": {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 400, "max_position_embeddings": 1024,
        "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
    },
}  # fmt: skip


def drawing(number: int) -> str:
    place, colour = 10 + 3 * number, f"#{number * 10:02x}80{250 - number * 10:02x}"
    shape = f'<path d="M0 0H{place}V40Z" fill="{colour}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 99 99">{shape}</svg>'


def test_a_text_model_is_scored_by_the_drawing_that_captioners_see(
    finesight: Finesight, write_recipe: WriteRecipe, clip_folder: Path, tmp_path: Path
) -> None:
    clip = {"name_or_path": str(clip_folder)}
    for file, first in (("drawings.json", 0), ("learned.json", 12)):
        rows = [{"xml": drawing(first + each), "caption": f"scene {each}"} for each in range(12)]
        (tmp_path / file).write_text(json.dumps(rows), encoding="utf-8")
    drawn = {"kind": "svg_captions", "file": "drawings.json", "image_size": 48}
    described = {**drawn, "name": "described", "metric": "clip_score", "max_new_tokens": 4}
    recipe = write_recipe(
        model=TEXT_MODEL, clip=clip, tune={"language": "full"},
        train={"max_steps": 1, "global_batch_size": 4, "learning_rate": 1e-3, "eval_steps": 1},
        data={
            "train": [{**drawn, "file": "learned.json", "context": "svg"}], "split": {"validation": 0.2, "test": 0.2},
        },
        evaluate=[{"name": "held_out", "from": "test", "max_new_tokens": 4}, {**described, "context": "svg"}],
    )  # fmt: skip
    ended = finesight("run", recipe, "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    (tmp_path / "say.py").write_text(
        "import json, sys\nfor line in sys.stdin:\n"
        "    print(json.dumps({'id': json.loads(line)['id'], 'caption': 'scene 3'}), flush=True)\n",
        encoding="utf-8",
    )
    side_by_side = {
        "name": "table", "clip": clip, "evaluate": [{**described, "context": "both"}],
        "captioners": [{"kind": "command", "name": "says", "command": [sys.executable, "say.py"]}],
        "models": [{"name": "tuned", "run": "run"}],
    }  # fmt: skip
    (tmp_path / "captioners.yaml").write_text(yaml.safe_dump(side_by_side), encoding="utf-8")
    ended = finesight("evaluate", tmp_path / "captioners.yaml", "--output", tmp_path / "table")
    assert ended.code == 0, ended.stderr
    (task,) = json.loads((tmp_path / "table" / "scores.json").read_text("utf-8"))["tasks"]
    assert list(task["scores"]) == ["says", "tuned", "majority", "majority_by_question_type"]
    alone = {record.id: record for record in RunDir.existing(tmp_path / "run").records("after", "described")}
    for record in RunDir.existing(tmp_path / "table").records("tuned", "described"):
        assert record.image_scores is not None
        assert record.image_scores == alone[record.id].image_scores
    page = tmp_path / "page.html"
    both = (f"{tmp_path / 'table'}@says", f"{tmp_path / 'table'}@tuned")
    ended = finesight("compare", *both, "--html", page)
    assert ended.code == 0, ended.stderr


def write_answers(folder: Path, *names: str) -> Path:
    """Write three answers about three pictures, a photograph's file and two drawings' by default."""
    (folder / "pictures").mkdir(exist_ok=True)
    SceneImage(1, 40).open().save(folder / "pictures" / "1.png")
    for number in (2, 3):
        (folder / "pictures" / f"{number}.svg").write_text(scene_svg(plan_scene(number)), encoding="utf-8")
    answers = ["a red ball", "", "a very long story about a blue house " * 20]
    rows = [
        {"id": str(place), "image": name, "prediction": answer, "references": ["a red ball", "two dogs"]}
        for place, (name, answer) in enumerate(zip(names or ("1.png", "2.svg", "3.svg"), answers, strict=True))
    ]
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_any_predictions_file_is_scored_and_kept_for_later(
    finesight: Finesight, clip_folder: Path, tmp_path: Path
) -> None:
    answers, kept = write_answers(tmp_path), tmp_path / "kept.jsonl"
    with_clip = ("--images", tmp_path / "pictures", "--clip", clip_folder)
    ended = finesight("score", answers, "--metric", "clip_score", *with_clip, "--output", kept, "--json")
    assert ended.code == 0, ended.stderr
    scored = json.loads(ended.stdout)
    assert scored["measured_by"] == str(clip_folder)
    assert "1 of 3 answers are longer than CLIP reads, and scored by their beginning (2)" in scored["warnings"]
    again = finesight("score", kept, "--metric", "clip_score", "--json")
    assert {**json.loads(again.stdout), "warnings": []} == {**scored, "warnings": []}
    assert finesight("compare", kept, answers, "--metric", "clip_score").code == 2
    ended = finesight("score", answers, "--metric", "clip_logit", *with_clip)
    assert "Measured by" in ended.stdout and "warning: 1 of 3 answers" in ended.stdout
    ended = finesight("score", answers, "--metric", "clip_score", *with_clip, "--output", kept)
    assert (ended.code, "not overwritten" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        ((), ["--metric", "clip_score"], "3 of 3 records hold no value of CLIP: 0, 1, 2"),
        ((), ["--metric", "exact_match", "--images", "pictures"], "exact_match looks at no pictures"),
        ((), ["--metric", "clip_score", "--clip", "there"], "add --images FOLDER"),
        ((), ["--metric", "clip_score", "--images", "nowhere"], "nowhere: no such folder"),
        (("1.png", "", ""), ["--metric", "clip_score", "--images", "pictures"], "2 of 3 records name no image: 1, 2"),
        (("1.png", "9.svg", "8.jpg"), ["--metric", "clip_score", "--images", "pictures"], "2 images cannot be used"),
        ((), ["--metric", "clip_score", "--images", "pictures", "--clip", "./there"], "no such checkpoint folder"),
    ],
)
def test_what_cannot_be_scored_is_told(
    finesight: Finesight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...], options: list[str], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ended = finesight("score", write_answers(tmp_path, *names), *options)
    assert ended.code == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("clip", "task", "told"),
    [
        ("./nowhere", {**SCENES, "name": "described", "metric": "clip_score"}, "no such checkpoint folder"),
        (
            "",
            {"name": "read", "kind": "llava_json", "file": "text.json", "also": ["clip_logit"]},
            "take clip_logit out",
        ),
    ],
)
def test_what_would_end_a_run_is_told_before_it(
    finesight: Finesight, write_recipe: WriteRecipe, clip_folder: Path, tmp_path: Path,
    clip: str, task: dict[str, Any], told: str,
) -> None:  # fmt: skip
    said = {"from": "human", "value": "Is it so?"}, {"from": "gpt", "value": "yes"}
    (tmp_path / "text.json").write_text(json.dumps([{"conversations": said}]), encoding="utf-8")
    recipe = write_recipe(
        clip={"name_or_path": clip or str(clip_folder)}, evaluate=[{"name": "held_out", "from": "test"}, task]
    )
    for verb, options in (("run", ["--output", tmp_path / "run"]), ("check", [])):
        ended = finesight(verb, recipe, *options)
        assert ended.code == 2
        assert told in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_asks_clip_rehearses_without_it(
    finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    ended = finesight("run", write_recipe(evaluate=tasks_with()), "--rehearse", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert "openai/clip-vit-base-patch32 is not on this machine: a CLIP ViT-B/32 is ASSUMED" in ended.stderr
    assert all(record.image_scores for record in RunDir.existing(tmp_path / "run").records("after", "described"))


PUBLISHED = {"good": (0.8584, 0.8450), "bad": (0.7153, 0.7253)}


def two_images(folder: Path, shared: Path, which: str) -> Path:
    """Write the captions of two photographs that came with CLIPScore as a predictions file."""
    given = shared / "fixtures" / "captions_two_images"
    captions, references = (
        json.loads((given / f"{name}.json").read_text("utf-8")) for name in (f"{which}_captions", "refs")
    )
    rows = [
        {"id": name, "image": f"{name}.jpg", "prediction": caption, "references": references[name]}
        for name, caption in captions.items()
    ]
    path = folder / f"{which}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("which", PUBLISHED)
def test_the_published_figures_are_those_of_the_published_clip(
    finesight: Finesight, shared: Path, tmp_path: Path, which: str
) -> None:
    if find_checkpoint(ClipCheckpoint().name_or_path, None, tmp_path) is None:
        pytest.skip(f"{ClipCheckpoint().name_or_path} is not on this machine")
    answers, pictures = two_images(tmp_path, shared, which), shared / "fixtures" / "captions_two_images"
    for metric, published in zip(("clip_score", "ref_clip_score"), PUBLISHED[which], strict=True):
        ended = finesight("score", answers, "--metric", metric, "--images", pictures, "--json")
        assert ended.code == 0, ended.stderr
        assert json.loads(ended.stdout)["score"]["score"] == pytest.approx(published, abs=2e-3)


def test_real_photographs_and_drawings_are_scored(
    finesight: Finesight, shared: Path, clip_folder: Path, tmp_path: Path
) -> None:
    answers = two_images(tmp_path, shared, "good")
    drawings = shared / "data" / "svg_openmoji"
    emoji = json.loads((drawings / "openmoji.json").read_text("utf-8"))[:40]
    rows = [
        {"id": entry["hexcode"], "image": f"color/svg/{entry['hexcode']}.svg", "prediction": entry["annotation"],
         "references": [entry["tags"]]}
        for entry in emoji
    ]  # fmt: skip
    named = tmp_path / "emoji.jsonl"
    named.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for file, folder, number in ((answers, shared / "fixtures" / "captions_two_images", 2), (named, drawings, 40)):
        kept = tmp_path / f"kept-{file.name}"
        options = ("--images", folder, "--clip", clip_folder, "--output", kept, "--json")
        ended = finesight("score", file, "--metric", "ref_clip_score", *options)
        assert ended.code == 0, ended.stderr
        records = read_predictions(kept)
        logits = [record.image_scores.values["clip_logit"] for record in records if record.image_scores is not None]
        assert len(logits) == number == len(set(logits))
