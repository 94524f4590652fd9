"""Stand-ins for all the data that a recipe names: the same kinds of source, each with a few drawn pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from finesight.data.claims import Origin, origin_of
from finesight.data.sources.names import source_name
from finesight.data.standins.captions import write_coco_captions, write_svg_captions
from finesight.data.standins.choices import write_multiple_choice
from finesight.data.standins.functions import write_python
from finesight.data.standins.places import Places
from finesight.data.standins.rows import write_llava_json, write_vqa_csv, write_vqa_json, write_vqa_parquet
from finesight.recipe.data import Data
from finesight.recipe.evaluate import SetTask, Task
from finesight.recipe.recipe import Recipe
from finesight.recipe.sources import (
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

PICTURES_A_USE = 24
"""Enough for a train, a validation and a test set of several groups each, or for a task."""
MOST_SAMPLES = 16
"""Examples that a task is measured on, or that a source with `max_samples` gives."""
ReadSource = LlavaJson | VqaJson | VqaCsv | VqaParquet | MultipleChoice | CocoCaptions | SvgCaptions | PythonSource
"""Every source but the scenes, which need no files."""
LEAST_LENGTH_TOKENS = 512
"""Stand-in rows are as long as they are: that is no fault of the recipe's max_length."""


@dataclass(frozen=True)
class StandIns:
    """The recipe's data and tasks, reading stand-ins."""

    data: Data
    tasks: tuple[Task, ...]
    words: tuple[str, ...]
    """What was replaced by what, a sentence a source."""


def write_stand_ins(recipe: Recipe, data_root: Path, folder: Path, places: Places, *, pictures: bool) -> StandIns:
    """Write stand-in rows for every source of the recipe into `folder`, the data root of what is returned.

    A source that several uses share has rows enough for all of them. Without `pictures` the rows show none.
    """
    data, own_tasks = recipe.data, [task for task in recipe.evaluate if not isinstance(task, SetTask)]
    used = [*data.train, *data.validation, *data.test, *own_tasks]
    uses = Counter(origin_of(spec, data_root) for spec in used)
    writer = _Writer(data_root, folder, places, uses, pictures)
    first_uses: dict[Origin, AnySource] = {}
    for spec in used:
        first_uses.setdefault(origin_of(spec, data_root), spec)
    words = tuple(map(writer.write, first_uses.values()))

    def together(specs: tuple[AnySource, ...], *, measured: bool) -> tuple[AnySource, ...]:
        return tuple(spec.model_copy(update=writer.changes(spec, measured=measured)) for spec in specs)

    sources = {
        "train": together(data.train, measured=False),
        "validation": together(data.validation, measured=True),
        "test": together(data.test, measured=True),
        "max_length": max(data.max_length, LEAST_LENGTH_TOKENS),
    }
    tasks = tuple(
        task.model_copy(update={"max_samples": min(task.max_samples or MOST_SAMPLES, MOST_SAMPLES)})
        if isinstance(task, SetTask)
        else task.model_copy(update=writer.changes(task, measured=True))
        for task in recipe.evaluate
    )
    return StandIns(data.model_copy(update=sources), tasks, words)


class _Writer:
    """Writes the stand-ins of one recipe; no picture stands in two sources."""

    def __init__(self, data_root: Path, folder: Path, places: Places, uses: Counter[Origin], pictures: bool) -> None:
        self._data_root = data_root
        self._folder = folder
        self._places = places
        self._uses = uses
        self._pictures = pictures
        self._drawn = 0

    def changes(self, spec: AnySource, *, measured: bool) -> dict[str, object]:
        """Return the fields with which `spec` reads its stand-ins as it would read its own."""
        # Without max_samples a use takes all that the others leave; alone, what is measured is cut short.
        alone = measured and self._uses[origin_of(spec, self._data_root)] == 1
        limit = spec.max_samples or (MOST_SAMPLES if alone else None)
        return {"max_samples": min(limit, MOST_SAMPLES) if limit else None, **self._placed(spec)}

    def write(self, spec: AnySource) -> str:
        """Write the rows that stand in for those of `spec`, and return that in words."""
        if isinstance(spec, Scenes):
            return f"data: {spec.name or source_name(spec)}: {self._scenes(spec)} of {spec.scenes:,} generated pictures"
        numbers = self._numbers(PICTURES_A_USE * self._uses[origin_of(spec, self._data_root)])
        rows = self._write(spec, numbers)
        about = (
            f"about {len(numbers)} drawn pictures"
            if self._pictures or isinstance(spec, CocoCaptions)
            else "without pictures"
        )
        return f"data: {source_name(spec)}: {rows} stand-in rows {about}, read as the recipe says"

    def _write(self, spec: ReadSource, numbers: Sequence[int]) -> int:
        placed, folder, pictures = spec.model_copy(update=self._placed(spec)), self._folder, self._pictures
        match placed:
            case LlavaJson():
                return write_llava_json(placed, folder, numbers, pictures=pictures)
            case VqaJson():
                return write_vqa_json(placed, folder, numbers, pictures=pictures)
            case VqaCsv():
                return write_vqa_csv(placed, folder, numbers, pictures=pictures)
            case VqaParquet():
                return write_vqa_parquet(placed, folder, numbers, pictures=pictures)
            case MultipleChoice():
                return write_multiple_choice(placed, folder, numbers, pictures=pictures)
            case CocoCaptions():
                return write_coco_captions(placed, folder, numbers)
            case SvgCaptions():
                return write_svg_captions(placed, folder, numbers)
            case PythonSource():
                return write_python(placed, folder, numbers, pictures=pictures)
            case _:
                assert_never(placed)

    def _placed(self, spec: AnySource) -> dict[str, object]:
        if isinstance(spec, Scenes):
            return {"scenes": self._scenes(spec)}
        placed: dict[str, object] = {field: self._places.of(getattr(spec, field)) for field in spec.path_fields}
        if isinstance(spec, VqaParquet) and spec.image_table and spec.image_table.dataset:
            images = {"dataset": self._places.of(spec.image_table.dataset)}
            placed["image_table"] = spec.image_table.model_copy(update=images)
        if isinstance(spec, SvgCaptions):
            placed["names"] = tuple(
                entry.model_copy(update={"files": tuple(map(self._places.of, entry.files))}) for entry in spec.names
            )
        return placed

    def _scenes(self, spec: Scenes) -> int:
        return min(spec.scenes, PICTURES_A_USE * self._uses[origin_of(spec, self._data_root)])

    def _numbers(self, count: int) -> Sequence[int]:
        first = self._drawn + 1
        self._drawn += count
        return range(first, first + count)
