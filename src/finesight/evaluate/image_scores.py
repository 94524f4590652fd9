"""What CLIP says of answers, while their pictures are at hand: records keep it, and scoring needs neither again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from finesight.data.images import verify_images
from finesight.data.named_pictures import pictures_named
from finesight.errors import DataError
from finesight.evaluate.metrics import clip_score
from finesight.models.clip import load_clip, on_fastest_device
from finesight.models.clip_scores import CaptionScorer, ClipScores
from finesight.recipe.evaluate import ClipCheckpoint
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, follow, say
from finesight.schema import ImageScores, ImageSource, Instrument, Record, TaskExamples

_ANSWERS_AT_ONCE = 256
_DECIMALS = {"clip_score": 4, "ref_clip_score": 4, "clip_logit": 2}
"""Of what is kept. Further ones change with the texts that share a batch, and equal answers would differ by them."""
_SHOWN = 3


def asks_for_clip(task: TaskExamples) -> bool:
    """Return whether a task has a metric that reads what CLIP says."""
    return not {task.metric, *task.also}.isdisjoint(clip_score.NAMES)


def open_scorer(spec: ClipCheckpoint, tasks: Sequence[TaskExamples], data_root: Path) -> CaptionScorer | None:
    """Return the recipe's CLIP, ready to score answers; None where no task asks for it.

    Raises, before hours of answering, what would be raised after them: `DataError` for examples that are not about one
    picture and for pictures that cannot be opened, `ModelError` where there is no CLIP.
    """
    asking = [task for task in tasks if asks_for_clip(task)]
    if not asking:
        return None
    verify_images(picture for task in asking for picture in pictures_of(task).values())
    return CaptionScorer(load_clip(spec.name_or_path, spec.revision, data_root))


def add_image_scores(
    scorer: CaptionScorer | None, tasks: Sequence[TaskExamples], run: RunDir, *, stop: StopRequest
) -> None:
    """Let the stored records of everybody who has answered keep what CLIP says; what they keep already is not redone.

    Does nothing for tasks that do not ask for it. Raises `Interrupted` when asked to stop.
    """
    for task in tasks:
        if scorer is None or not asks_for_clip(task):
            continue
        pictures = pictures_of(task)
        for predictor in run.predictors(task.name):
            records = run.records(predictor, task.name)
            scored = with_image_scores(scorer, records, pictures, stop, f"CLIP scores: {predictor}, {task.name}")
            if scored != records:
                run.replace_records(predictor, task.name, scored)
            for warning in clip_score.warnings(scored):
                say(f"{task.name}, {predictor}: {warning}")


def score_with_images(records: Sequence[Record], folder: Path, clip: ClipCheckpoint) -> list[Record]:
    """Return records with what CLIP says of them; `image` names each one's picture, a file in `folder`.

    What they kept before is replaced. Raises `DataError` for records without a picture that can be opened, and
    `ModelError` where there is no CLIP.
    """
    pictures = pictures_named({record.id: record.image for record in records}, folder)
    scorer = CaptionScorer(load_clip(clip.name_or_path, clip.revision, Path()))
    bare = [replace(record, image_scores=None) for record in records]
    return with_image_scores(scorer, bare, pictures)


def with_image_scores(
    scorer: CaptionScorer,
    records: Sequence[Record],
    pictures: Mapping[str, ImageSource],
    stop: StopRequest | None = None,
    description: str = "CLIP scores",
) -> list[Record]:
    """Return records with what CLIP says of each and its picture, given by the record's id.

    Those that keep it already stay as they are, as do those without a picture. Raises `Interrupted` when asked to stop,
    and `DataError` for a picture that can be opened no more.
    """
    scored = list(records)
    missing = [
        place
        for place, record in enumerate(records)
        if record.id in pictures and not _is_scored(record, scorer.clip.instrument)
    ]
    batches = [missing[start : start + _ANSWERS_AT_ONCE] for start in range(0, len(missing), _ANSWERS_AT_ONCE)]
    with on_fastest_device(scorer.clip):
        for places in follow(batches, description, len(batches)):
            batch = [records[place] for place in places]
            found = _score(scorer, batch, [pictures[record.id] for record in batch])
            for at, place in enumerate(places):
                scored[place] = _with(scored[place], found, at, scorer.clip.instrument)
            if stop is not None:
                stop.raise_if_asked()
    return scored


def _score(scorer: CaptionScorer, records: Sequence[Record], pictures: Sequence[ImageSource]) -> ClipScores:
    try:
        return scorer.score(
            pictures, [record.prediction for record in records], [record.references for record in records]
        )
    except OSError as error:
        raise DataError(f"a picture can be opened no more: {error}") from error


def _with(record: Record, found: ClipScores, place: int, clip: Instrument) -> Record:
    """Return a record that keeps what was found at `place`."""
    exact = {"clip_score": found.clip_score[place], "clip_logit": found.clip_logit[place]}
    if record.references:
        exact["ref_clip_score"] = found.ref_clip_score[place]
    values = {name: round(float(value), _DECIMALS[name]) for name, value in exact.items()}
    scores = ImageScores(clip, clip_score.hash_answer(record), values, bool(found.is_cut[place]))
    return replace(record, image_scores=scores)


def _is_scored(record: Record, clip: Instrument) -> bool:
    scores = record.image_scores
    return scores is not None and (scores.clip, scores.answer) == (clip, clip_score.hash_answer(record))


def pictures_of(task: TaskExamples) -> dict[str, ImageSource]:
    """Return the picture of each example by its id. Raises `DataError` where one is not about one picture."""
    pictures = {example.id: example.picture for example in task.examples}
    known = {name: picture for name, picture in pictures.items() if picture is not None}
    if without := [name for name in pictures if name not in known]:
        first = ", ".join(without[:_SHOWN]) + (", …" if len(without) > _SHOWN else "")
        raise DataError(
            f"the task {task.name}: {len(without):,} of {len(pictures):,} examples are not about one picture, which "
            f"CLIP could see ({first})",
            hint=f"take {', '.join(sorted({task.metric, *task.also} & set(clip_score.NAMES)))} out of the task",
        )
    return known
