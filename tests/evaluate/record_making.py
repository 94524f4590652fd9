"""Records, examples and run folders for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from finesight.evaluate.metrics import clip_score
from finesight.recipe.recipe import Recipe
from finesight.rundir import RunDir
from finesight.schema import Example, ImageScores, Instrument, Record, Role, TaskExamples, Turn

TASKS = (
    {"name": "held_out", "from": "test"},
    {"name": "general", "kind": "scenes", "role": "forgetting"},
    {"name": "watched", "from": "validation"},
)


def record(number: int, prediction: str, reference: str = "yes", group: int | None = None, **other: str) -> Record:
    """Return a record; two questions a group where none is given."""
    of = number // 2 if group is None else group
    return Record(str(number), prediction, (reference,), group=f"image-{of}", **other)


def seen(answered: Record, value: float, clip: str = "a", is_cut: bool = False) -> Record:
    """Return a record that keeps `value` as each of CLIP's scores."""
    values = dict.fromkeys(clip_score.NAMES, value)
    scores = ImageScores(Instrument(f"clip {clip}", clip), clip_score.hash_answer(answered), values, is_cut)
    return replace(answered, image_scores=scores)


def records(right: Iterable[bool]) -> list[Record]:
    """Return records that are right or wrong as told."""
    return [record(number, "Yes." if is_right else "no") for number, is_right in enumerate(right)]


def example(number: int, *references: str, role: Role = "train", question_type: str = "") -> Example:
    """Return an example without an image."""
    turns = (Turn("user", "Is it so?"), Turn("assistant", references[0] if references else "", learned=True))
    return Example(
        str(number), f"image-{number // 2}", (), turns, references, role=role, question_type=question_type
    )  # fmt: skip


def task_of(examples: Sequence[Example], name: str = "held_out", drawn_from: str = "test") -> TaskExamples:
    """Return a task on `examples`."""
    return TaskExamples(name, "held_out", "exact_match", 8, tuple(examples), drawn_from)


def new_run(path: Path, tasks: Sequence[dict[str, str]] = TASKS, **data: object) -> RunDir:
    """Return an empty run whose recipe has `tasks`; keywords are of its data."""
    recipe = Recipe.model_validate({
        "name": "trial",
        "model": {"kind": "llava", "name_or_path": "model"},
        "data": {"train": [{"kind": "scenes"}], **data},
        "tune": {"language": "full"},
        "evaluate": list(tasks),
    })  # fmt: skip
    run = RunDir.new(recipe, path, path)
    run.begin({"data_root": str(path)})
    return run
