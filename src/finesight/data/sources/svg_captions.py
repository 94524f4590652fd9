"""Captions of SVG drawings: rows that hold a drawing, or name its file, beside a caption or a list of captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from finesight.data.sources.captions import Subject, caption_examples, captions_of
from finesight.data.sources.cells import cell_of, column_names, label_of, list_in
from finesight.data.sources.cldr_names import CharacterNames, read_names
from finesight.data.sources.drawings import Drawings
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.json_rows import Row
from finesight.data.sources.names import id_prefix, source_name
from finesight.data.sources.table_rows import is_table, read_table_or_json
from finesight.errors import DataError, UserError
from finesight.recipe.sources import CldrNames, SvgCaptions
from finesight.runtime import follow, say
from finesight.schema import Example


def read_svg_captions(spec: SvgCaptions, data_root: Path) -> list[Example]:
    """Return an example for each caption, and for each name in another language, in the order of the file's rows.

    All captions of a row are right answers to each. Drawings are one group when their path-a-line texts are equal. How
    many rows have no name, and what path-a-line text cannot say of the drawings, goes to the log. Raises one
    `DataError` that names every fault of the rows and of their drawings.
    """
    path = data_root / spec.file
    faults = Faults(str(path))
    rows = _read_rows(spec, path, data_root, faults)
    faults.raise_if_any()
    named = _read_all_names(spec.names, data_root)

    drawings = Drawings(spec, data_root, faults)
    examples: list[Example] = []
    for row in follow(rows, f"Reading {source_name(spec)}", len(rows)):
        subject = drawings.of(row)
        captions = captions_of(cell_of(row.content, spec.caption), row.where, faults)
        if subject is None or not captions:
            continue
        row_id = f"{id_prefix(spec)}:{row.number}"
        several = {f"{row_id}-{place}": caption for place, caption in enumerate(captions, start=1)}
        by_id = several if len(several) > 1 else {row_id: captions[0]}
        # Two kinds of questions about one drawing are scored apart, each beside its own most frequent answer.
        kind = spec.caption if spec.names else ""
        examples += caption_examples(subject, spec.question, by_id, question_type=kind)
        examples += _named_examples(row, row_id, subject, named)
    faults.raise_if_any()
    _check_names(examples, len(rows), named, spec)
    if drawings.unsaid and spec.context == "svg":
        said = ", ".join(f"{what} (drawings: {count:,})" for what, count in sorted(drawings.unsaid.items()))
        say(f"{source_name(spec)}: path-a-line text cannot say: {said}")
    return examples


def _read_rows(spec: SvgCaptions, path: Path, data_root: Path, faults: Faults) -> list[Row]:
    """Return the rows with the columns that matter, after noting those that no row has."""
    wanted = _wanted_columns(spec)
    seen: set[str] = set()
    rows: list[Row] = []
    for row in read_table_or_json(path, data_root, faults):
        seen |= column_names(row.content)
        rows.append(Row(row.number, row.where, {name: cell_of(row.content, name) for name in wanted}))
    if is_table(path):
        for row in rows:
            if captions := list_in(str(row.content[spec.caption] or "")):
                row.content[spec.caption] = captions
    for column, field in wanted.items() if rows else ():
        if column not in seen:
            there = ", ".join(sorted(seen))
            files = "; where the drawings are files, give xml: null and file_name" if field == "xml" else ""
            hint = " ".join(filter(None, [did_you_mean(column, seen), f"map it in the recipe: {field}{files}"]))
            faults.add(f"no column `{column}`; the columns are {there}", hint=hint)
    return rows


def _wanted_columns(spec: SvgCaptions) -> dict[str, str]:
    """Return the columns that are read, each with the recipe's field that names it."""
    wanted = dict.fromkeys(spec.drawing_columns, "file_name" if spec.xml is None else "xml")
    wanted |= {entry.column: "names.column" for entry in spec.names}
    return wanted | {spec.caption: "caption"}


def _read_all_names(entries: Sequence[CldrNames], data_root: Path) -> list[tuple[CldrNames, CharacterNames]]:
    named = [(entry, read_names(entry.files, data_root)) for entry in entries]
    languages = [names.language for _, names in named]
    for language in languages:
        if languages.count(language) > 1:
            raise UserError(
                f"two entries of `names` are of one language, {language}",
                hint="give all files of a language in one entry",
            )
    return named


def _named_examples(
    row: Row, row_id: str, subject: Subject, named: Sequence[tuple[CldrNames, CharacterNames]]
) -> Iterator[Example]:
    for entry, names in named:
        name = names.name_of(label_of(cell_of(row.content, entry.column)))
        if name is not None:
            name_id = f"{row_id}-{names.language}"
            kind = f"name ({names.language})"
            yield from caption_examples(
                subject, entry.question, {name_id: name}, language=names.language, question_type=kind
            )


def _check_names(
    examples: Sequence[Example], rows: int, named: Sequence[tuple[CldrNames, CharacterNames]], spec: SvgCaptions
) -> None:
    for entry, names in named:
        found = sum(example.tags.get("language") == names.language for example in examples)
        if not found:
            raise DataError(
                f"{source_name(spec)}: no row has a name in {names.language}",
                hint=f"names.column must hold the character itself, as 😀; it is `{entry.column}`",
            )
        if found < rows:
            without = rows - found
            say(f"{source_name(spec)}: rows without a name in {names.language}: {without:,} of {rows:,}")
