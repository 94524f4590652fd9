"""Small data sets of each kind, written for a test."""

from __future__ import annotations

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


def write_json(path: Path, rows: object) -> Path:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    """Write a JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]], *, raw: bool = False) -> Path:
    """Write rows of question and answer as parquet, the image they name inside: as a struct, or as raw bytes."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    stored = [picture_bytes(int(name.removesuffix(".png"))) for name in columns["image"]]
    columns["image"] = list(stored) if raw else [{"bytes": one, "path": None} for one in stored]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
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
