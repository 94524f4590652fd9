"""What a row of a multiple-choice question says: the question, its options with their letters, and the right one."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from finesight.data.groups import group_of
from finesight.data.sources.cells import cell_of, is_nothing, list_in, optional_text_of, text_of
from finesight.data.sources.faults import Faults
from finesight.data.sources.json_rows import Row
from finesight.recipe.sources import ChoiceColumns
from finesight.schema import Example, ImageSource, Turn

_NOT_THERE = "nan"
"""What pandas writes for an empty cell, as in MMBench for an option or a hint that a question does not have."""
_SHOWN_LETTERS = 60


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """A question with its options, and the answer as the data give it."""

    where: str
    name: str
    question: str
    letters: tuple[str, ...]
    options: tuple[str, ...]
    answer: str
    question_type: str
    document: str
    images: tuple[ImageSource, ...]

    @property
    def called(self) -> list[str]:
        """The letter that the answer is, if it is one."""
        return [letter for letter in self.letters if letter == self.answer]

    @property
    def worded(self) -> list[str]:
        """The letters of the options that the answer repeats."""
        return [letter for letter, option in zip(self.letters, self.options, strict=True) if option == self.answer]


def mapped_choices(columns: ChoiceColumns) -> list[tuple[str, str]]:
    """Return each meaning that the recipe maps, with the column that holds it; options may have several."""
    meanings = columns.model_dump(exclude={"options"}, exclude_none=True)
    options = (columns.options,) if isinstance(columns.options, str) else columns.options
    return [*meanings.items(), *(("options", column) for column in options)]


def read_choice(row: Row, columns: ChoiceColumns, images: tuple[ImageSource, ...], faults: Faults) -> ChoiceRow | None:
    """Return what a row says, or None after noting in `faults` what it lacks."""

    def required(column: str, what: str) -> str | None:
        return text_of(_cell(row, column), what, row.where, faults)

    def optional(column: str | None, what: str) -> str:
        return optional_text_of(_cell(row, column), what, row.where, faults) if column else ""

    name = required(columns.id, "id") if columns.id else str(row.number)
    hint, question = optional(columns.hint, "hint"), required(columns.question, "question")
    options = _read_options(row, columns, faults)
    answer = required(columns.answer, "answer")
    question_type, document = optional(columns.question_type, "question type"), optional(columns.group, "group")
    if name is None or question is None or options is None or answer is None:
        return None
    return ChoiceRow(
        where=row.where,
        name=name,
        question=f"{hint}\n{question}" if hint else question,
        letters=tuple(options),
        options=tuple(options.values()),
        answer=answer,
        question_type=question_type,
        document=document,
        images=images,
    )


def choice_examples(rows: Sequence[ChoiceRow], stem: str, faults: Faults) -> list[Example]:
    """Return the questions as examples whose answer is the right option's letter.

    One way of answering, by letters or by the options' texts, is taken for all rows if it fits them all; so `A` is a
    letter in one data set and a text in another. Answers that fit no option, or several, are noted in `faults`.
    """
    by_letter = all(row.called for row in rows)
    by_text = all(row.worded for row in rows)
    examples = []
    for row in rows:
        fitting = row.called if by_letter and not by_text else row.worded if by_text and not by_letter else _either(row)
        if len(fitting) == 1:
            examples.append(_example(row, fitting[0], stem))
        else:
            _note_answer(row, fitting, faults)
    return examples


def _either(row: ChoiceRow) -> list[str]:
    return list(dict.fromkeys([*row.called, *row.worded]))


def _note_answer(row: ChoiceRow, fitting: Sequence[str], faults: Faults) -> None:
    where = f"{row.where}: {row.answer[:_SHOWN_LETTERS]}"
    if fitting:
        faults.add(f"the answer fits several options ({', '.join(fitting)})", where, hint="answer with the letter")
    else:
        faults.add("the answer is none of the options", where, hint="it is an option's letter, or its own text")


def _example(row: ChoiceRow, right: str, stem: str) -> Example:
    return Example(
        id=f"{stem}:{row.name}",
        group=group_of(row.images, row.document, row.question),
        images=row.images,
        turns=(Turn("user", row.question), Turn("assistant", right, learned=True)),
        references=(right,),
        choices=row.options,
        letters=row.letters,
        question_type=row.question_type,
    )


def _read_options(row: Row, columns: ChoiceColumns, faults: Faults) -> dict[str, str] | None:
    """Return the options by their letters. One that is missing leaves its letter out: the answers count it."""
    cells = _option_cells(row, columns, faults)
    if cells is None:
        return None
    if len(cells) > len(ascii_uppercase):
        faults.add("more options than there are letters", row.where)
        return None
    there = [(letter, cell) for letter, cell in zip(ascii_uppercase, cells, strict=False) if not is_nothing(cell)]
    texts = {letter: text_of(cell, f"option {letter}", row.where, faults) for letter, cell in there}
    options = {letter: text for letter, text in texts.items() if text is not None}
    if len(options) < len(texts):
        return None
    if len(options) < 2:
        faults.add("fewer than two options", row.where, hint="the columns of the options are mapped to columns.options")
        return None
    return options


def _option_cells(row: Row, columns: ChoiceColumns, faults: Faults) -> list[Any] | None:
    if not isinstance(columns.options, str):
        return [_cell(row, column) for column in columns.options]
    listed = _list_in(_cell(row, columns.options))
    if listed is None:
        hint = "options of a column each are mapped as a list: options: [A, B, C, D]"
        faults.add(f"column `{columns.options}` holds no list of options", row.where, hint=hint)
        return None
    return [given_in(entry) for entry in listed]


def _list_in(cell: Any) -> list[Any] | None:
    """Return the list that a cell is, or that its text is: as JSON writes it, or Python, which MMMU's tables do."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list) else None
    if (listed := list_in(cell)) is not None:
        return listed
    try:
        written = ast.literal_eval(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(written) if isinstance(written, list | tuple) else None


def _cell(row: Row, column: str) -> Any:
    return given_in(cell_of(row.content, column))


def given_in(cell: Any) -> Any:
    """Return what a cell gives: nothing, where it says that there is nothing."""
    return None if isinstance(cell, str) and cell.strip() == _NOT_THERE else cell
