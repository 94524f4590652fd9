"""From a source's spec to its examples. The `match` is the registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import assert_never

from finesight.data.groups import join_groups
from finesight.data.sources.llava_json import read_llava_json
from finesight.data.sources.scenes import read_scenes
from finesight.data.sources.vqa_json import read_vqa_json
from finesight.data.sources.vqa_parquet import dataset_name, read_vqa_parquet
from finesight.recipe.data import AnySource, LlavaJson, Scenes, VqaJson, VqaParquet
from finesight.schema import Example, Turn


def read_source(spec: AnySource, data_root: Path) -> list[Example]:
    """Return all examples of a source, in its own order, grouped, its questions put as `prompt` says.

    `max_samples` is not applied here: what may be drawn depends on the recipe's other uses of the source. Paths start
    from `data_root`. Raises `DataError` that names every fault of the file, and `UserError` for an unreachable hub.
    """
    name = source_name(spec)
    read = join_groups(_read(spec, data_root))
    return [put_questions(replace(example, source=name, role=spec.role), spec.prompt) for example in read]


def source_name(spec: AnySource) -> str:
    """Return what a person calls the source: its file's name, the data set's, or `scenes`."""
    match spec:
        case LlavaJson() | VqaJson():
            return Path(spec.file).name
        case VqaParquet():
            return Path(spec.dataset).name
        case Scenes():
            return "scenes"
        case _:
            assert_never(spec)


def id_prefix(spec: AnySource) -> str:
    """Return what the ids of the source's examples begin with, before a colon."""
    match spec:
        case LlavaJson() | VqaJson():
            return Path(spec.file).stem
        case VqaParquet():
            return dataset_name(spec.dataset)
        case Scenes():
            return "scenes"
        case _:
            assert_never(spec)


def put_questions(example: Example, prompt: str) -> Example:
    """Return the example with each of its questions put as `prompt` says."""
    if prompt == "{question}":
        return example
    turns = (
        # Not str.format: braces in a prompt or a question mean themselves.
        Turn("user", prompt.replace("{question}", turn.text)) if turn.role == "user" else turn
        for turn in example.turns
    )
    return replace(example, turns=tuple(turns))


def _read(spec: AnySource, data_root: Path) -> list[Example]:
    match spec:
        case LlavaJson():
            return read_llava_json(spec, data_root)
        case VqaJson():
            return read_vqa_json(spec, data_root)
        case VqaParquet():
            return read_vqa_parquet(spec, data_root)
        case Scenes():
            return read_scenes(spec)
        case _:
            assert_never(spec)
