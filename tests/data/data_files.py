"""Small data sets of each kind, written for a test."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet

from finesight.recipe.recipe import Recipe

IMAGES = "pictures"


def picture_bytes(shade: int) -> bytes:
    """Return a small PNG; another shade is another image."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (shade % 256, shade // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def write_pictures(root: Path, count: int, folder: str = IMAGES, first: int = 0) -> None:
    """Write `0.png`, `1.png` … below `root`, each different."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (root / folder / f"{number}.png").write_bytes(picture_bytes(number))


def vqa_rows(images: int, questions: int = 2, first: int = 0) -> list[dict[str, Any]]:
    """Return `questions` rows about each of `images` pictures."""
    return [
        {"image": f"{image}.png", "question": f"What is {question}?", "answer": f"answer {image}"}
        for image in range(first, first + images)
        for question in range(questions)
    ]


def conversation_rows(images: int) -> list[dict[str, Any]]:
    """Return a conversation in LLaVA's form about each of `images` pictures."""
    return [
        {
            "id": f"c{image}",
            "image": f"{image}.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is it?"},
                {"from": "gpt", "value": "A picture."},
                {"from": "human", "value": "Which?"},
                {"from": "gpt", "value": f"Number {image}."},
            ],
        }
        for image in range(images)
    ]


def coco_document(images: int, captions: int) -> dict[str, Any]:
    """Return the content of a captions file in COCO's form about the first of the drawn pictures."""
    return {
        "info": {"year": 2026},
        "images": [{"id": 100 + image, "file_name": f"{image}.png"} for image in range(images)],
        "annotations": [
            {"id": 10 * image + place, "image_id": 100 + image, "caption": f"Caption {place} of {image}."}
            for image in range(images)
            for place in range(captions)
        ],
    }


def drawing(number: int) -> str:
    """Return a small SVG; another number is another drawing."""
    disc = f'<circle cx="{100 + number}" cy="200" r="40" fill="red"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512">{disc}</svg>'


def choice_rows(images: int) -> list[dict[str, Any]]:
    """Return two rows of options in a list about each of `images` pictures, the answer in words."""
    return [
        {
            "image": f"{image}.png",
            "question": f"What is {question}?",
            "options": ["red", "green", "blue"][: 3 - question],
            "answer": "green",
        }
        for image in range(images)
        for question in range(2)
    ]


def write_choice_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows of options as MMBench has them: a column each, "nan" where one is missing, images in base64."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["index", "question", "hint", *"ABCD", "answer", "category", "image"])
        for place, row in enumerate(rows):
            options = [*row["options"], *["nan"] * (4 - len(row["options"]))]
            letter = "ABCD"[options.index(row["answer"])]
            picture = base64.b64encode(picture_bytes(int(row["image"].removesuffix(".png")))).decode()
            table.writerow([place, row["question"], "nan", *options, letter, "colours", picture])
    return path


def write_json(path: Path, rows: object) -> Path:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    """Write a JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a table with a line of column names, as Python's csv writes it; tabs for `.tsv`."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows(rows)
    return path


def write_joined(folder: Path, images: int) -> dict[str, Any]:
    """Write a data set as GQA has it, and return the recipe's words for it: questions that name images, and those."""
    rows = [
        {"id": f"q{number}", "imageId": f"n{row['image'][:-4]}", "question": row["question"], "answer": row["answer"],
         "types": {"structural": "query", "detailed": f"kind {number % 2}"}}
        for number, row in enumerate(vqa_rows(images))
    ]  # fmt: skip
    stored = [{"id": f"n{number}", "image": {"bytes": picture_bytes(number), "path": None}} for number in range(images)]
    for config, content in (("train_balanced_instructions", rows), ("train_balanced_images", stored)):
        (folder / config).mkdir(parents=True)
        file = folder / config / "train-00000-of-00001.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(content), file)
    return {
        "kind": "vqa_parquet",
        "dataset": folder.name,
        "config": "train_balanced_instructions",
        "columns": {"id": "id", "image": "imageId", "question_type": "types.detailed"},
        "image_table": {"config": "train_balanced_images"},
    }


def write_parquet(path: Path, rows: list[dict[str, Any]], *, raw: bool = False) -> Path:
    """Write rows of question and answer as parquet, the image they name inside: as a struct, or as raw bytes."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    stored = [picture_bytes(int(name.removesuffix(".png"))) for name in columns["image"]]
    columns["image"] = list(stored) if raw else [{"bytes": one, "path": None} for one in stored]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
    return path


def write_plain_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as parquet, just as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def vqa_source(file: str, **more: Any) -> dict[str, Any]:
    """Return the recipe's words for a VQA JSON file."""
    return {"kind": "vqa_json", "file": file, "images": IMAGES, **more}


def recipe(data: Mapping[str, Any], evaluate: list[dict[str, Any]] | None = None, **more: Any) -> Recipe:
    """Return a recipe around a `data:` section."""
    return Recipe.model_validate(
        {
            "name": "test",
            "model": {"kind": "llava", "name_or_path": "nowhere"},
            "tune": {"language": "full"},
            "data": data,
            "evaluate": evaluate or [{"name": "held_out", "from": "test"}],
            **more,
        }
    )
