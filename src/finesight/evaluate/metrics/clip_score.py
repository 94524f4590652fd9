"""CLIPScore, RefCLIPScore and CLIP's logit: how well answers fit their pictures, whatever words they use.

What CLIP says of an answer is kept in its record, by `finesight.evaluate.image_scores`, while the picture is at hand.
Here it is read, without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from math import inf

from finesight.errors import DataError
from finesight.evaluate.metrics.metric import Measured, Metric, Scale, measure_mean
from finesight.schema import ImageScores, Instrument, Record

SOURCE = "Hessel et al. 2021; https://github.com/jmhessel/clipscore"
_PUBLISHED = "Published figures are of openai/clip-vit-base-patch32. CLIP reads 77 tokens, and has learned English."
_EMPTY = "An empty answer counts as 0."
_HINT = (
    "give them, and keep them, while the pictures are at hand: finesight score FILE --metric {name} --images FOLDER "
    "--output NEW; a run whose recipe names {name}: finesight run --resume RUN"
)
_SHOWN = 3


def measure(records: Sequence[Record], name: str) -> Measured:
    """Return the mean of the values that CLIP has given the answers; an empty one counts as 0, whatever CLIP gave it.

    Raises `DataError` for records that hold none, that hold those of another answer, or those of several CLIPs.
    """
    values = []
    faults: dict[str, list[str]] = {"hold no value of CLIP": [], "hold CLIP's value of another answer": []}
    without, stale = faults.values()
    for record in records:
        scores = record.image_scores
        if scores is None or name not in scores.values:
            without.append(record.id)
        elif scores.answer != hash_answer(record):
            stale.append(record.id)
        else:
            values.append(0.0 if _is_empty(record) else scores.values[name])
    told = [f"{len(ids):,} of {len(records):,} records {what}: {_first(ids)}" for what, ids in faults.items() if ids]
    if told:
        raise DataError(f"{name}: {'; '.join(told)}", hint=_HINT.format(name=name))
    _require_one_clip(records, name)
    return measure_mean(values)


def hash_answer(record: Record) -> str:
    """Return what tells the answer and the references of a record from others: its values hold for these alone."""
    said = json.dumps([record.prediction, *record.references], ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def clip_of(record: Record) -> Instrument | None:
    """Return the CLIP that gave a record its values."""
    return None if record.image_scores is None else record.image_scores.clip


def warnings(records: Sequence[Record]) -> list[str]:
    """Return that some answers were cut, or are empty, and how many, where some are."""
    cut = [record.id for record in records if record.image_scores is not None and record.image_scores.is_cut]
    empty = [record.id for record in records if _is_empty(record)]
    told = {"longer than CLIP reads, and scored by their beginning": cut, "empty, and count as 0": empty}
    return [f"{len(ids):,} of {len(records):,} answers are {what} ({_first(ids)})" for what, ids in told.items() if ids]


def _is_empty(record: Record) -> bool:
    """Return whether nothing was said: CLIP gives an empty text a cosine like any other, and silence would score."""
    return not record.prediction.strip()


def _require_one_clip(records: Sequence[Record], name: str) -> None:
    clips = {clip for clip in map(clip_of, records) if clip is not None}
    if len(clips) > 1:
        told = ", ".join(sorted(f"{clip.name} ({clip.weights})" for clip in clips))
        raise DataError(
            f"{name}: the values are of {len(clips)} different CLIPs: {told}",
            hint="score all with one: finesight score FILE --images FOLDER --clip NAME_OR_PATH",
        )


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")


def _holds(name: str) -> Callable[[Record], bool]:
    def holds(record: Record) -> bool:
        scores: ImageScores | None = record.image_scores
        return scores is not None and name in scores.values

    return holds


def _metric(name: str, rule: str, scale: Scale, source: str = SOURCE) -> Metric:
    return Metric(
        name=name,
        rule=f"{rule} {_EMPTY} {_PUBLISHED}",
        source=source,
        measure=partial(measure, name=name),
        normalise=lambda text: " ".join(text.split()),
        scale=scale,
        scores=_holds(name),
        instrument=clip_of,
        warnings=warnings,
    )


METRICS = (
    _metric(
        "clip_score",
        '2.5 times the cosine between CLIP\'s embeddings of the picture and of "A photo depicts " with the answer, 0 '
        "where that is negative; the mean over answers.",
        Scale(high=2.5, percent=False, binary=False),
    ),
    _metric(
        "ref_clip_score",
        "The harmonic mean of CLIPScore (clip_score) and of the answer's best cosine with a reference, each with "
        '"A photo depicts " before it; the mean over answers.',
        Scale(high=2 * 2.5 * 1.0 / (2.5 + 1.0), percent=False, binary=False),
    ),
    _metric(
        "clip_logit",
        "CLIP's logits_per_image: the cosine between its embeddings of the picture and of the bare answer, times its "
        "own scale, which is 100 in published weights; the mean over answers.",
        Scale(low=-inf, high=inf, percent=False, binary=False),
        source="Radford et al. 2021; transformers' CLIPModel",
    ),
)
NAMES = tuple(metric.name for metric in METRICS)
