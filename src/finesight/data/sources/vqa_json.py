"""Questions about images: a JSON list or JSON Lines, beside a folder of images."""

from __future__ import annotations

from pathlib import Path

from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import read_rows
from finesight.data.sources.vqa_rows import read_questions
from finesight.recipe.sources import VqaJson
from finesight.schema import Example


def read_vqa_json(spec: VqaJson, data_root: Path) -> list[Example]:
    """Return the questions of the file, in its order. Raises one `DataError` that names every fault."""
    path = data_root / spec.file
    faults = Faults(str(path))
    return read_questions(read_rows(path, data_root, faults), spec, data_root, faults)
