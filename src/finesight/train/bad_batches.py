"""A batch that did harm, written down for a person to look at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from finesight.branches.layout import PREFIX, TWO_WAY_PREFIX, Layout
from finesight.data.images import write_thumbnail
from finesight.models.encoded import UNLEARNED
from finesight.models.formatter import Formatter
from finesight.rundir import write_text
from finesight.schema import ImageSource
from finesight.train.batches import RowBatch

BATCH_FILE = "batch.json"


def describe_branches(
    batch: RowBatch, losses: torch.Tensor | None, formatter: Formatter, *, folder: Path | None
) -> list[dict[str, Any]]:
    """Return every question of a batch: who it is, its loss, its tokens in words, and which of them are learned.

    `losses` are float[learned], or None where nothing was computed. Thumbnails of its images are written into `folder`,
    where one is given.
    """
    counts = [count for _, count in batch.learned]
    pieces = torch.split(losses.detach().double().cpu(), counts) if losses is not None else [None] * len(counts)
    rows = []
    for (example, count), own, (row, number) in zip(batch.learned, pieces, _places(batch.layout), strict=True):
        rows.append({
            "id": example.id,
            "source": example.source,
            "row": row,
            "loss": float(own.mean()) if own is not None and count else None,
            "learned_tokens": count,
            "images": [_show(image, folder) for image in example.images],
            "pieces": [*_pieces(batch.layout, row, PREFIX, formatter), *_pieces(batch.layout, row, number, formatter)],
        })  # fmt: skip
    return rows


def write_batch(folder: Path, incident: dict[str, Any], branches: Sequence[dict[str, Any]]) -> None:
    """Write `batch.json` into `folder`, as every reader of JSON takes it."""
    content = {**incident, "branches": [{**branch, "loss": _in_json(branch["loss"])} for branch in branches]}
    write_text(folder / BATCH_FILE, json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def _in_json(loss: float | None) -> float | str | None:
    """Return a loss, and one that is no number in words: JSON has no other way for `nan`, `inf` and `-inf`."""
    return loss if loss is None or math.isfinite(loss) else str(loss)


def _places(layout: Layout) -> Iterator[tuple[int, int]]:
    """Yield row and number of every branch, in the order in which a batch names its examples."""
    for row, numbers in enumerate(layout.branch_numbers.tolist()):
        yield from ((row, number) for number in range(1, max(numbers) + 1))


def _pieces(layout: Layout, row: int, number: int, formatter: Formatter) -> Iterator[dict[str, Any]]:
    """Yield the text of a branch, or of the context, in pieces that are learned or not; image tokens are counted."""
    ids, labels = layout.input_ids[row].tolist(), layout.next_labels[row].tolist()
    wanted = {PREFIX, TWO_WAY_PREFIX} if number == PREFIX else {number}
    places = [place for place, of in enumerate(layout.branch_numbers[row].tolist()) if of in wanted]
    kinds = [
        # A label stands at the token before the one that is learned; a branch opens with one that is not.
        (order > 0 and labels[place - 1] != UNLEARNED, ids[place] == formatter.placeholder_id)
        for order, place in enumerate(places)
    ]
    for (is_learned, is_placeholder), group in groupby(zip(places, kinds, strict=True), key=lambda pair: pair[1]):
        tokens = [ids[place] for place, _ in group]
        text = formatter.tokenizer.decode(tokens[:1] if is_placeholder else tokens, skip_special_tokens=False)
        yield {"text": str(text), "tokens": len(tokens), "learned": is_learned}


def _show(image: ImageSource, folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {"name": image.name}
    try:
        return {"name": image.name, "thumbnail": write_thumbnail(image, folder)}
    except OSError as error:
        return {"name": image.name, "unreadable": str(error)}
