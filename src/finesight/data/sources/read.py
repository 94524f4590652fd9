"""From a source's spec to its examples. The `match` is the registry."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from finesight.data.groups import join_groups
from finesight.data.sources.coco_captions import read_coco_captions
from finesight.data.sources.llava_json import read_llava_json
from finesight.data.sources.multiple_choice import read_multiple_choice
from finesight.data.sources.names import source_name
from finesight.data.sources.python import read_python
from finesight.data.sources.scenes import read_scenes
from finesight.data.sources.svg_captions import read_svg_captions
from finesight.data.sources.vqa_csv import read_vqa_csv
from finesight.data.sources.vqa_json import read_vqa_json
from finesight.data.sources.vqa_parquet import read_vqa_parquet
from finesight.recipe.sources import (
    OPTIONS,
    AnySource,
    CocoCaptions,
    LlavaJson,
    MultipleChoice,
    PythonSource,
    Scenes,
    SvgCaptions,
    VqaCsv,
    VqaJson,
    VqaParquet,
)
from finesight.schema import Example, Turn

_PLACES = re.compile(r"\{question\}|" + re.escape(OPTIONS))


def read_source(spec: AnySource, data_root: Path) -> list[Example]:
    """Return all examples of a source, in its own order, grouped, its questions put as `prompt` says.

    `max_samples` is not applied here: what may be drawn depends on the recipe's other uses of the source. Paths start
    from `data_root`. Raises `DataError` that names every fault of the file, and `UserError` for an unreachable hub.
    """
    name = source_name(spec)
    read = join_groups(_read(spec, data_root))
    return [put_questions(replace(example, source=name, role=spec.role), spec.prompt) for example in read]


def put_questions(example: Example, prompt: str) -> Example:
    """Return the example with each of its questions put as `prompt` says, its options lettered, a line each."""
    if prompt == "{question}":
        return example
    options = "\n".join(f"{letter}. {text}" for letter, text in zip(example.letters, example.choices, strict=False))

    def put(question: str) -> str:
        # In one pass, and not str.format: braces in a question, and other braces in a prompt, mean themselves.
        return _PLACES.sub(lambda place: question if place[0] == "{question}" else options, prompt)

    turns = (Turn("user", put(turn.text)) if turn.role == "user" else turn for turn in example.turns)
    return replace(example, turns=tuple(turns))


def _read(spec: AnySource, data_root: Path) -> list[Example]:
    match spec:
        case LlavaJson():
            return read_llava_json(spec, data_root)
        case VqaJson():
            return read_vqa_json(spec, data_root)
        case VqaCsv():
            return read_vqa_csv(spec, data_root)
        case VqaParquet():
            return read_vqa_parquet(spec, data_root)
        case MultipleChoice():
            return read_multiple_choice(spec, data_root)
        case CocoCaptions():
            return read_coco_captions(spec, data_root)
        case SvgCaptions():
            return read_svg_captions(spec, data_root)
        case PythonSource():
            return read_python(spec, data_root)
        case Scenes():
            return read_scenes(spec)
        case _:
            assert_never(spec)
