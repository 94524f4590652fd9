"""Captions that stand in for a person's own: of drawn pictures, and of drawings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finesight.data.standins.files import write_pictures, write_rows
from finesight.data.standins.pictures import COLOURS, picture_colour, picture_name
from finesight.recipe.sources import CldrNames, CocoCaptions, SvgCaptions

_CAPTIONS_AN_IMAGE = 2
_LEFT, _TOP, _STEPS = 64, 64, 384
"""Where on the canvas of 512×512 the discs of drawings lie: each number has a place of its own."""


def write_coco_captions(spec: CocoCaptions, folder: Path, numbers: Sequence[int]) -> int:
    """Write two captions of each picture and the pictures, and return how many captions that are.

    Paths of `spec` start from `folder`. There are pictures for every model: captions of none are not of this form.
    """
    images = [{"id": number, "file_name": picture_name(number)} for number in numbers]
    annotations = [
        {"id": number * _CAPTIONS_AN_IMAGE + place, "image_id": number, "caption": caption}
        for number in numbers
        for place, caption in enumerate(_captions_of(number))
    ]
    _write_json(folder / spec.file, {"images": images, "annotations": annotations})
    write_pictures(folder / spec.images, numbers)
    return len(annotations)


def write_svg_captions(spec: SvgCaptions, folder: Path, numbers: Sequence[int]) -> int:
    """Write a captioned drawing for each number, in the recipe's own columns, and return how many rows that are.

    Paths of `spec` start from `folder`. Drawings are SVG, in their column or in files of their own. Every row has a
    name in each further language.
    """
    rows = [_row(number, spec) for number in numbers]
    write_rows(folder / spec.file, rows)
    if spec.xml is None:
        for number, row in zip(numbers, rows, strict=True):
            file = folder / spec.folder / spec.drawing_file(row)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_draw_svg(number), encoding="utf-8")
    for entry in spec.names:
        names = {row[entry.column]: f"disc {number}" for number, row in zip(numbers, rows, strict=True)}
        _add_names([folder / file for file in entry.files], _language_of(entry), names)
    return len(rows)


def _captions_of(number: int) -> tuple[str, ...]:
    colour = picture_colour(number)
    captions = (f"A {colour} disc, number {number}.", f"Disc {number} is {colour}.")
    assert len(captions) == _CAPTIONS_AN_IMAGE
    return captions


def _row(number: int, spec: SvgCaptions) -> dict[str, str]:
    """Return a row; where a recipe reads two things from one column, it holds what finds the drawing."""
    characters = {entry.column: f"stand-in {number}" for entry in spec.names}
    found_by = {column: f"stand-in-{number:05}" for column in spec.drawing_columns}
    drawing = found_by if spec.xml is None else {spec.xml: _draw_svg(number)}
    return {**characters, spec.caption: _captions_of(number)[0], **drawing}


def _draw_svg(number: int) -> str:
    x, y = _LEFT + number % _STEPS, _TOP + number // _STEPS % _STEPS
    red, green, blue = COLOURS[picture_colour(number)]
    disc = f'<circle cx="{x}" cy="{y}" r="40" fill="rgb({red},{green},{blue})"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512">{disc}</svg>'


def _language_of(entry: CldrNames) -> str:
    """Return what stands in for a language: another one for other files, wherever in a recipe they stand."""
    return f"stand-in-{hashlib.sha256(entry.files[0].encode()).hexdigest()[:8]}"


def _add_names(files: Sequence[Path], language: str, names: Mapping[str, str]) -> None:
    """Add names to those that another source has put into the same files."""
    for file in files:
        section: dict[str, dict[str, Any]] = {"identity": {"language": language}, "annotations": {}}
        if file.is_file():
            section = json.loads(file.read_text(encoding="utf-8"))["annotations"]
        section["annotations"] |= {character: {"tts": [name]} for character, name in names.items()}
        _write_json(file, {"annotations": section})


def _write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
