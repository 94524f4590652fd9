"""Questions about images: a JSON list or JSON Lines, beside a folder of images."""

from __future__ import annotations

from pathlib import Path

from finesight.data.sources.cells import names_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.image_folder import find_images
from finesight.data.sources.json_rows import Row, read_rows
from finesight.data.sources.vqa_rows import check_columns, check_unique_ids, mapped_columns, vqa_example
from finesight.recipe.data import VqaJson
from finesight.schema import Example


def read_vqa_json(spec: VqaJson, data_root: Path) -> list[Example]:
    """Return the questions of the file, in its order. Raises one `DataError` that names every fault."""
    path = data_root / spec.file
    faults = Faults(str(path))
    wanted = set(mapped_columns(spec.columns).values())
    seen: set[str] = set()
    rows: list[Row] = []
    for row in read_rows(path, data_root, faults):
        seen.update(row.content)
        # Only what is mapped is kept: rows often carry far more, and there may be 100,000.
        rows.append(Row(row.number, row.where, {name: row.content[name] for name in wanted & row.content.keys()}))
    if rows:
        check_columns(spec.columns, seen, faults)
    faults.raise_if_any()

    names = [names_of(row.content.get(spec.columns.image), row.where, faults) for row in rows]
    images = find_images(rows, names, data_root / spec.images, data_root, faults)
    examples = []
    for row, row_names in zip(rows, names, strict=True):
        shown = tuple(images[name] for name in row_names if name in images)
        example = vqa_example(row, spec.columns, shown, path.stem, faults)
        if example:
            examples.append(example)
    check_unique_ids(examples, spec.columns.id, faults)
    faults.raise_if_any()
    return examples
