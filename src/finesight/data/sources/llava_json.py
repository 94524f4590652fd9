"""LLaVA's conversations (Liu et al. 2023): {id, image, conversations: [{from, value}]}, or role and content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from finesight.data.groups import group_of
from finesight.data.sources.cells import names_of, text_of
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.image_folder import IMAGE_SUFFIXES, find_images
from finesight.data.sources.json_rows import Row, read_rows
from finesight.data.sources.names import id_prefix
from finesight.data.sources.parquet_files import TableName
from finesight.data.sources.parquet_table import (
    ROWS_A_BATCH,
    column_type,
    holds_images,
    open_table,
    rows_with_images,
    with_columns,
)
from finesight.data.sources.table_rows import holds_text
from finesight.recipe.sources import LlavaJson
from finesight.runtime import follow
from finesight.schema import Example, ImageSource, Turn

IMAGE_TAG = "<image>"
_CONVERSATIONS = "conversations"
_IMAGE = "image"
Shown = Iterator[tuple[Row, Sequence[ImageSource | None]]]
"""Each row with its images."""
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


def read_llava_json(spec: LlavaJson, data_root: Path) -> list[Example]:
    """Return the conversations of the file or data set, in its order. Raises one `DataError` that names every fault.

    Every assistant turn is learned; the last one is the reference. Where the text says `<image>` does not matter: the
    model's template places images, and they come before the text. Raises `UserError` when the hub cannot be reached.
    """
    path = data_root / spec.file
    if holds_text(path):
        faults = Faults(str(path))
        rows = list(read_rows(path, data_root, faults))
        _check_columns({name for row in rows for name in row.content}, rows, faults)
        shown = _with_named_images(rows, spec, data_root, faults)
    else:
        faults = Faults(spec.file)
        shown = _parquet_rows(spec, data_root, faults)
    examples: list[Example] = []
    taken: set[str] = set()
    for row, images in shown:
        turns = _read_turns(row, faults)
        if turns:
            shows = tuple(image for image in images if image is not None)
            if not images:
                _check_for_tag(row, faults)
            examples.append(_conversation(_unique_id(row, id_prefix(spec), taken), shows, turns))
    faults.raise_if_any()
    return examples


def _parquet_rows(spec: LlavaJson, data_root: Path, faults: Faults) -> Shown:
    table = open_table(TableName(spec.file, spec.config, spec.split, spec.revision), data_root)
    columns = set(table.column_names)
    _check_columns(columns, [], faults)
    for column in sorted(columns) if _IMAGE not in columns else []:
        if holds_images(column_type(table, column)):
            faults.add(f"no column `{_IMAGE}`, but `{column}` holds images", hint=f"rename it to `{_IMAGE}`")
    faults.raise_if_any()
    stored = with_columns(table, columns & {"id", _IMAGE, _CONVERSATIONS})
    if _IMAGE in columns and holds_images(column_type(table, _IMAGE)):
        name = id_prefix(spec)
        return follow(rows_with_images(stored, _IMAGE, name, faults), f"Reading {name}", stored.num_rows)
    contents = (content for batch in stored.iter(ROWS_A_BATCH) for content in batch.to_pylist())
    rows = [Row(number, f"row {number:,}", content) for number, content in enumerate(contents, start=1)]
    return _with_named_images(rows, spec, data_root, faults)


def _with_named_images(rows: Sequence[Row], spec: LlavaJson, data_root: Path, faults: Faults) -> Shown:
    """Yield each row with the images that it names, None for one that is not there, which is noted in `faults`."""
    names = [names_of(row.content.get(_IMAGE), row.where, faults) for row in rows]
    images = find_images(rows, names, data_root / spec.images, data_root, faults)
    for row, row_names in zip(rows, names, strict=True):
        yield row, tuple(images.get(name) for name in row_names)


def _check_columns(columns: set[str], rows: Sequence[Row], faults: Faults) -> None:
    """Raise `DataError` unless there are conversations, and `image` where a column of `rows` names images."""
    if columns and _CONVERSATIONS not in columns:
        faults.add(
            f"no column `{_CONVERSATIONS}`; the columns are {', '.join(sorted(columns))}",
            hint=did_you_mean(_CONVERSATIONS, columns) or "rows of question and answer are read with kind: vqa_json",
        )
    elif _IMAGE not in columns:
        _check_for_images(rows, faults)
    faults.raise_if_any()


def _check_for_images(rows: Sequence[Row], faults: Faults) -> None:
    # With images in a column of another name, all would be learned as conversations about nothing.
    for column in dict.fromkeys(name for row in rows for name in row.content):
        cells = [row.content.get(column) for row in rows]
        names = [name for cell in cells for name in (cell if isinstance(cell, list) else [cell])]
        if column != "id" and any(isinstance(name, str) and name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            faults.add(f"no column `image`, but `{column}` names images", hint=f"call `{column}` `image` in the file")


def _conversation(example_id: str, images: tuple[ImageSource, ...], turns: tuple[Turn, ...]) -> Example:
    asked = " ".join(turn.text for turn in turns if turn.role == "user")
    group = group_of(images, "", asked)
    return Example(id=example_id, group=group, images=images, turns=turns, references=(turns[-1].text,))


def _read_turns(row: Row, faults: Faults) -> tuple[Turn, ...]:
    conversation = row.content.get(_CONVERSATIONS)
    if not isinstance(conversation, list) or not conversation:
        faults.add("no conversation", row.where)
        return ()
    read = [_read_turn(turn, row.where, faults) for turn in conversation]
    turns = tuple(turn for turn in read if turn is not None)
    if len(turns) < len(read):
        return ()
    if not _alternates(turns):
        faults.add("turns do not alternate between user and assistant", row.where)
        return ()
    if turns[-1].role != "assistant":
        faults.add("the conversation does not end with an answer", row.where)
        return ()
    return turns


def _check_for_tag(row: Row, faults: Faults) -> None:
    """Note a conversation about an image whose row has none."""
    if any(IMAGE_TAG in str(turn) for turn in row.content[_CONVERSATIONS]):
        faults.add(f"the text says {IMAGE_TAG}, but the row names no image", row.where)


def _read_turn(turn: Any, where: str, faults: Faults) -> Turn | None:
    if not isinstance(turn, dict) or not ({"from", "value"} <= turn.keys() or {"role", "content"} <= turn.keys()):
        faults.add("a turn has neither from and value nor role and content", where)
        return None
    speaker, said = (turn["from"], turn["value"]) if "from" in turn else (turn["role"], turn["content"])
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        faults.add(f"unknown speaker {speaker!r}", where, hint="speakers are human or user, gpt or assistant, system")
        return None
    text = said.replace(IMAGE_TAG, "") if isinstance(said, str) else said
    what = {"user": "question", "assistant": "answer", "system": "system text"}[role]
    plain = text_of(text, what, where, faults)
    return None if plain is None else Turn(role, plain, learned=role == "assistant")


def _alternates(turns: tuple[Turn, ...]) -> bool:
    spoken = turns[1:] if turns[0].role == "system" else turns
    return all(turn.role == ("user", "assistant")[place % 2] for place, turn in enumerate(spoken))


def _unique_id(row: Row, stem: str, taken: set[str]) -> str:
    # LLaVA's own instruction file uses an image's number as the id of several conversations.
    given = row.content.get("id")
    name = str(given).strip() if isinstance(given, str | int) and str(given).strip() else str(row.number)
    if f"{stem}:{name}" in taken:
        name = f"{name}:{row.number}"
    taken.add(f"{stem}:{name}")
    return f"{stem}:{name}"
