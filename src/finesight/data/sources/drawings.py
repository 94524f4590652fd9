"""The drawings of SVG captions: what a model gets of each, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from finesight.data.groups import drawing_group
from finesight.data.sources.captions import Subject
from finesight.data.sources.cells import cell_of, text_of
from finesight.data.sources.faults import Faults, missing_file
from finesight.data.sources.json_rows import Row
from finesight.data.svg.markup import read_svg
from finesight.data.svg.path_lines import parse_path_lines, restore, write_path_lines
from finesight.data.svg.render import render
from finesight.data.svg.simplify import simplify
from finesight.errors import DataError
from finesight.recipe.sources import SvgCaptions


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """The picture of a drawing, rendered when it is opened."""

    drawing: Path | str = field(repr=False)
    """A file of SVG or of path-a-line text, or what would stand in it."""
    size: int
    """Side in pixels."""
    name: str
    known_hash: str

    def open(self) -> Image.Image:
        """Return the picture in RGB, in the middle of white.

        Raises `OSError` when it cannot be rendered, and `UserError` where the extra `svg` is not installed.
        """
        try:
            return render(_as_svg(_text_of(self.drawing), self.name), self.size, self.name)
        except DataError as error:
            raise OSError(error.message.removeprefix(f"{self.name}: ")) from error

    def content_hash(self) -> str:
        """Return the SHA-256 of what decides the picture: its size, and what is drawn."""
        return self.known_hash


class Drawings:
    """The drawings that a source's rows hold or name; each is simplified once, however many rows show it."""

    def __init__(self, spec: SvgCaptions, data_root: Path, faults: Faults) -> None:
        self._spec = spec
        self._faults = faults
        self._folder = data_root / spec.folder
        self._known: dict[str, Subject | None] = {}
        self.unsaid: Counter[str] = Counter()
        """In how many of the drawings there is something that path-a-line text cannot say, by what it is."""
        if spec.xml is None and not self._folder.is_dir():
            raise missing_file("folder of drawings", self._folder, data_root)

    def of(self, row: Row) -> Subject | None:
        """Return what a model gets of a row's drawing, or note in `faults` why it gets nothing."""
        column = self._spec.xml
        if column is None:
            said = self._file_name(row)
        else:
            said = text_of(cell_of(row.content, column), "drawing", row.where, self._faults)
        if said is not None and said not in self._known:
            self._known[said] = self._read(said, row.where)
        return self._known[said] if said is not None else None

    def _file_name(self, row: Row) -> str | None:
        cells = {
            column: text_of(cell_of(row.content, column), f"{column}, which file_name needs", row.where, self._faults)
            for column in self._spec.drawing_columns
        }
        known = {column: text for column, text in cells.items() if text is not None}
        return self._spec.drawing_file(known) if len(known) == len(cells) else None

    def _read(self, said: str, where: str) -> Subject | None:
        """Return what a model gets of a drawing, or of the file of that name."""
        column = self._spec.xml
        drawing, name = (self._folder / said, said) if column is None else (said, f"{where}: {column}")
        # Not Path.is_file, which raises OSError for a name that is too long.
        if isinstance(drawing, Path) and not os.path.isfile(drawing):  # noqa: PTH113
            hint = f"file names of drawings start from the folder {self._folder}"
            self._faults.add("file of a drawing missing", f"{where}: {said}", hint=hint)
            return None
        try:
            return self._look_at(drawing, name)
        except DataError as error:
            reason = f"{where}: {error.message}" if column is None else error.message
            self._faults.add("a drawing that cannot be used", reason, hint=error.hint)
            return None

    def _look_at(self, drawing: Path | str, name: str) -> Subject:
        text = _text_of(drawing)
        svg = _as_svg(text, name)
        simplified = simplify(svg, name)
        self.unsaid.update(simplified.unsaid.keys())
        # A picture may show more than the text can say; where neither says anything, there is nothing to caption.
        if not simplified.text and (self._spec.context != "image" or not simplified.unsaid):
            raise DataError(f"{name}: no line and no area of it can be seen")
        group = drawing_group(simplified.text or svg)
        lines = ""
        if self._spec.context != "image":
            lines = simplified.text if _is_markup(text) else write_path_lines(parse_path_lines(text, name))
        # What the text says in full is the same picture, however its file is written.
        decisive = svg if simplified.unsaid else simplified.text
        content_hash = hashlib.sha256(f"{self._spec.image_size} {decisive}".encode()).hexdigest()
        picture = DrawnImage(drawing, self._spec.image_size, name, content_hash)
        if self._spec.context == "svg":
            return Subject(group, context=lines, drawing=picture)
        return Subject(group, (picture,), lines)


def _text_of(drawing: Path | str) -> str:
    return read_svg(drawing) if isinstance(drawing, Path) else drawing


def _as_svg(text: str, name: str) -> str:
    """Return a drawing as SVG, whether it is that or path-a-line text. Raises `DataError` for what is neither."""
    return text if _is_markup(text) else restore(text, name)


def _is_markup(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n").startswith("<")
