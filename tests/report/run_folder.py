"""A small run folder in the documented shape, made up: the report room's tests read nothing but this."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageDraw
from scipy.stats import binomtest

from finesight.recipe.recipe import Recipe
from finesight.rundir import RunDir
from finesight.schema import Record

Until = Literal["recipe", "data", "before", "training", "after", "verdict"]
ORDER: tuple[Until, ...] = ("recipe", "data", "before", "training", "after", "verdict")

IMAGES = 24
QUESTIONS_PER_IMAGE = 5
COLOURS = ("red", "green", "blue", "orange", "purple", "teal")
SHAPES = ("circle", "square", "triangle")
SHARES_RIGHT = {"before": 0.38, "after": 0.62, "blind": 0.40, "majority": 0.33, "majority_by_question_type": 0.42}


def small_recipe(**changes: Any) -> Recipe:
    """Return a recipe of one stage with a held-out and a forgetting task."""
    recipe: dict[str, Any] = {
        "name": "coloured-shapes",
        "model": {"kind": "llava", "name_or_path": "models/small-llava"},
        "data": {
            "train": [
                {"kind": "vqa_json", "file": "shapes.json", "images": "pictures"},
                {"kind": "vqa_parquet", "dataset": "general.parquet", "max_samples": 80, "role": "replay"},
            ]
        },
        "tune": {
            "projector": "full",
            "language": {"method": "lora", "r": 16, "target_modules": ["q_proj", "v_proj"]},
        },
        "train": {"num_train_epochs": 3, "learning_rate": {"projector": 1e-3, "language": 2e-4}},
        "evaluate": [
            {"name": "held_out", "from": "test", "metric": "exact_match"},
            {
                "name": "general",
                "kind": "vqa_parquet",
                "dataset": "general.parquet",
                "max_samples": 60,
                "role": "forgetting",
            },
        ],
    }
    return Recipe.model_validate(recipe | changes)


def write_run(
    folder: Path,
    *,
    until: Until = "verdict",
    question: str | None = None,
    verdict: dict[str, Any] | None = None,
    shares_right: dict[str, float] | None = None,
    recipe: Recipe | None = None,
) -> RunDir:
    """Write what a run leaves behind when it came as far as `until`.

    `question` replaces every held-out question's text; `shares_right` says how often each predictor is right;
    `verdict` replaces fields of the verdict's headline.
    """
    run = RunDir.new(recipe or small_recipe(), folder, folder.parent)
    run.begin(_environment(folder))
    reached = ORDER[: ORDER.index(until) + 1]
    shares = SHARES_RIGHT | (shares_right or {})
    if "data" in reached:
        run.save("data", _data())
        run.save_stage("parameters", "tune", _parameters())
        run.save_stage("checks", "tune", {"checks": _checks()})
    questions = {"held_out": _questions(run, "held_out", IMAGES, question), "general": _questions(run, "general", 12)}
    right: dict[str, dict[str, list[str]]] = {"held_out": {}, "general": {}}
    general = {"before": 0.70, "after": 0.66, "blind": 0.30, "majority": 0.25, "majority_by_question_type": 0.30}
    if "before" in reached:
        _answer(run, questions, right, ["before"], shares, general)
    if "training" in reached:
        last = 150 if until != "training" else 60
        for row in _metrics(last):
            run.append_metrics(row)
    if until == "after":
        questions = {"held_out": questions["held_out"][:50], "general": []}
    if "after" in reached:
        best = run.checkpoints("tune") / "best.json"
        best.parent.mkdir(parents=True)
        chosen = {"checkpoint": "checkpoint-120", "step": 120, "metric": "eval_loss", "score": 0.95, "finished": True}
        best.write_text(json.dumps(chosen), encoding="utf-8")
        _answer(run, questions, right, ["after"], shares, general)
    if "verdict" in reached:
        _answer(run, questions, right, ["blind", "majority", "majority_by_question_type"], shares, general)
        run.save("verdict", _verdict(questions, right, verdict or {}))
    return run


def _questions(run: RunDir, task: str, images: int, text: str | None = None) -> list[Record]:
    records = []
    for number in range(images):
        chance = random.Random(f"{task}-{number}")
        colour, shape = chance.choice(COLOURS), chance.choice(SHAPES)
        thumbnail = f"thumbs/{task}{number:03d}.jpg"
        _draw(run.path / thumbnail, colour, shape)
        asked = [
            (f"What colour is the {shape}?", colour, "colour", "OPEN"),
            ("What shape is in the picture?", shape, "shape", "OPEN"),
            (f"Is there a {shape}?", "yes", "exist", "CLOSED"),
            ("Is there a star?", "no", "exist", "CLOSED"),
            ("How many objects are there?", "one", "count", "OPEN"),
        ]
        for place, (question, answer, question_type, answer_type) in enumerate(asked[:QUESTIONS_PER_IMAGE]):
            records.append(
                Record(
                    id=f"{task}:{number}-{place}",
                    prediction="",
                    references=(answer,),
                    group=f"image:{task}{number}",
                    question=text or question,
                    question_type=question_type,
                    answer_type=answer_type,
                    image=f"{task}{number:03d}.jpg",
                    thumbnail=thumbnail,
                )
            )
    return records


def _draw(path: Path, colour: str, shape: str) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (160, 120), "#f4f1ea")
    pen = ImageDraw.Draw(image)
    match shape:
        case "circle":
            pen.ellipse((45, 25, 115, 95), fill=colour)
        case "square":
            pen.rectangle((48, 28, 112, 92), fill=colour)
        case _:
            pen.polygon([(80, 20), (120, 95), (40, 95)], fill=colour)
    image.save(path, quality=80)


def _answer(
    run: RunDir,
    questions: dict[str, list[Record]],
    right: dict[str, dict[str, list[str]]],
    predictors: Sequence[str],
    shares: dict[str, float],
    general: dict[str, float],
) -> None:
    for task, asked in questions.items():
        for predictor in predictors:
            share = (shares if task == "held_out" else general)[predictor]
            answered = []
            for record in asked:
                chance = random.Random(f"{predictor}{record.id}")
                is_right = chance.random() < share
                wrong = chance.choice(("", "a shape of some kind, which", "yellow", "no idea", "two"))
                answered.append(
                    Record(
                        **{name: getattr(record, name) for name in Record.__slots__ if name not in ANSWER_FIELDS},
                        prediction=record.references[0] if is_right else wrong,
                        finish_reason="length" if not is_right and wrong.endswith("which") else "stop",
                    )
                )
            right[task][predictor] = [record.id for record in answered if record.prediction == record.references[0]]
            run.append_records(predictor, task, answered)


ANSWER_FIELDS = ("prediction", "finish_reason")


def _score(right: int, examples: int) -> dict[str, Any]:
    share = right / examples
    error = math.sqrt(share * (1 - share) / examples)
    low, high = max(0.0, share - 1.96 * error), min(1.0, share + 1.96 * error)
    return {"score": share, "standard_error": error, "naive_standard_error": error, "low": low, "high": high,
            "right": right}  # fmt: skip


def _difference(ids: Sequence[str], start: Iterable[str], end: Iterable[str], names: tuple[str, str]) -> dict[str, Any]:
    before, after = set(start), set(end)
    better, worse = len(after - before), len(before - after)
    estimate = (better - worse) / len(ids)
    error = math.sqrt((better + worse) / len(ids) - estimate**2) / math.sqrt(len(ids))
    p_mcnemar = float(binomtest(better, better + worse).pvalue)
    return {"from": names[0], "to": names[1], "estimate": estimate, "low": estimate - 1.96 * error,
            "high": estimate + 1.96 * error, "p_mcnemar": p_mcnemar, "better": better,
            "worse": worse, "unchanged": len(ids) - better - worse, "draws": 10000, "seed": 42}  # fmt: skip


def _verdict(
    questions: dict[str, list[Record]], right: dict[str, dict[str, list[str]]], headline: dict[str, Any]
) -> dict[str, Any]:
    tasks = []
    for name, role in (("held_out", "held_out"), ("general", "forgetting")):
        asked, by_predictor = questions[name], right[name]
        ids = [record.id for record in asked]
        best = max(("blind", "majority", "majority_by_question_type"), key=lambda each: len(by_predictor[each]))
        tasks.append(
            {
                "name": name,
                "role": role,
                "metric": "exact_match",
                "metric_rule": "Equal to a reference once case, punctuation and blanks are put aside.",
                "examples": len(ids),
                "groups": len({record.group for record in asked}),
                "scores": {each: _score(len(found), len(ids)) for each, found in by_predictor.items()},
                "majority_from": "train" if role == "held_out" else "the task itself",
                "difference": _difference(ids, by_predictor["before"], by_predictor["after"], ("before", "after")),
                "over_baseline": _difference(ids, by_predictor[best], by_predictor["after"], (best, "after")),
                "right_ids": by_predictor,
                "outcomes": {
                    "before": _outcomes(len(ids), len(by_predictor["before"])),
                    "after": _outcomes(len(ids), len(by_predictor["after"])),
                },
                "by": {
                    "answer_type": _by(asked, by_predictor, "answer_type"),
                    "question_type": _by(asked, by_predictor, "question_type"),
                },
            }
        )
    first = tasks[0]["scores"]
    sentences = [
        f"held_out: {100 * first['before']['score']:.1f} % → {100 * first['after']['score']:.1f} % of "
        f"{len(questions['held_out'])} questions are answered right."
    ]
    return {"headline": {"verdict": "better", "sentences": sentences, "warnings": []} | headline, "tasks": tasks}


def _outcomes(examples: int, right: int) -> dict[str, int]:
    others = examples - right
    return {"right": right, "wrong": others - others // 4 - others // 5, "empty": others // 4, "cut": others // 5}


def _by(asked: Sequence[Record], right: dict[str, list[str]], field: str) -> list[dict[str, Any]]:
    rows = []
    for value in sorted({getattr(record, field) for record in asked}):
        members = {record.id for record in asked if getattr(record, field) == value}
        scores = {each: _score(len(members & set(found)), len(members)) for each, found in right.items()}
        rows.append({"value": value, "examples": len(members), "groups": len(members), "scores": scores})
    return rows


def _metrics(last: int) -> Iterable[dict[str, Any]]:
    chance = random.Random(3)
    for step in range(10, last + 1, 10):
        trained = 0.55 + 2.2 * math.exp(-step / 45) + chance.uniform(-0.06, 0.06)
        yield {
            "kind": "train", "stage": "tune", "step": step, "epoch": step / 50, "loss": trained,
            "loss_by_source": {"shapes.json": trained}, "loss_by_role": {"train": trained, "replay": trained + 0.5},
            "learned_tokens": 400, "tokens": 9000, "examples": 160,
            "learning_rate": {"projector": 1e-3, "language": 2e-4},
            "grad_norm": 1.2, "peak_memory_gib": 1.1, "seconds": step * 1.5,
        }  # fmt: skip
        if step % 30 == 0:
            unseen = 0.85 + 2.0 * math.exp(-step / 40) + (0.002 * (step - 120) if step > 120 else 0)
            yield {
                "kind": "validation", "stage": "tune", "step": step, "epoch": step / 50, "loss": unseen,
                "loss_by_source": {}, "loss_by_role": {"train": unseen, "replay": 1.4 + 0.001 * step},
                "learned_tokens": 300, "scores": {}, "seconds": step * 1.5 + 2,
            }  # fmt: skip


def _data() -> dict[str, Any]:
    held_out = IMAGES * QUESTIONS_PER_IMAGE
    return {
        "sets": {
            "train": _set(800, 160, {"shapes.json": 720, "general.parquet": 80}, {"train": 720, "replay": 80}),
            "validation": _set(130, 26, {"shapes.json": 120, "general.parquet": 10}, {"train": 120, "replay": 10}),
            "test": _set(held_out, IMAGES, {"shapes.json": held_out}, {"train": held_out}),
            "task:general": _set(60, 12, {"general.parquet": 60}, {"forgetting": 60}),
        },
        "dropped": [
            {"source": "shapes.json", "reason": "over max_length", "examples": 3, "first": ["shapes:17", "shapes:18"]}
        ],
        "leaks": [],
        "allow_leakage": False,
    }


def _set(examples: int, groups: int, by_source: dict[str, int], by_role: dict[str, int]) -> dict[str, Any]:
    closed = examples * 2 // 5
    return {"examples": examples, "contexts": groups, "groups": groups, "by_source": by_source, "by_role": by_role,
            "answer_types": {"CLOSED": closed, "OPEN": examples - closed},
            "top_answers": [["yes", examples // 5], ["no", examples // 5], ["one", examples // 6]]}  # fmt: skip


def _parameters() -> dict[str, Any]:
    def part(name: str, tuning: str, total: int, **others: Any) -> dict[str, Any]:
        return {"part": name, "tuning": tuning, "total": total, "trainable": 0, "adapters": 0, "unreachable": 0,
                "unreachable_tensors": [], "learning_rate": None} | others  # fmt: skip

    return {
        "parts": [
            part("vision", "frozen", 303_507_456, unreachable=12_598_272,
                 unreachable_tensors=["model.vision_tower.encoder.layers.23.mlp.fc1.weight"]),
            part("projector", "full", 6_295_552, trainable=6_295_552, learning_rate=1e-3),
            part("language", "lora r=16", 2_506_172_416, trainable=3_686_400, adapters=3_686_400, learning_rate=2e-4),
        ],
        "total": 2_815_975_424, "trainable": 9_981_952, "refusals": [],
    }  # fmt: skip


def _checks() -> list[dict[str, str]]:
    return [
        {"name": "labels decode", "status": "pass", "message": "16 examples decode to their answers.", "hint": ""},
        {"name": "image tokens", "status": "pass", "message": "576 image tokens, 576 features.", "hint": ""},
        {"name": "answers", "status": "warning", "message": "40.0 % of the training answers are yes or no.",
         "hint": "look at the scores by answer type"},
    ]  # fmt: skip


def _environment(folder: Path) -> dict[str, Any]:
    return {"finesight": "0.1.0", "python": "3.11.9", "platform": "Linux", "packages": {"transformers": "5.23.0"},
            "device": "cpu", "data_root": str(folder.parent), "seed": 42, "started": "2026-01-05 14:03"}  # fmt: skip
