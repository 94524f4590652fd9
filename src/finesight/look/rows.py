"""Rows as the collator lays them out, token by token, with the pictures that the model gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from finesight.branches.layout import PREFIX, TWO_WAY_PREFIX, Layout
from finesight.branches.mask import Places, who_is_seen
from finesight.look.answers import find_answers
from finesight.look.pictures import draw_context, write_pictures
from finesight.look.spelling import Speller, Token
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.models.formatter import Formatter
from finesight.train.batches import make_batch


class RowWriter:
    """Writes what the collator gives as plain values."""

    def __init__(self, formatter: Formatter) -> None:
        self.formatter = formatter
        self._speller = Speller(formatter)

    def show_example(self, single: Encoded, *, answered: bool) -> dict[str, Any]:
        """Return an example alone in a row, with what is known of it."""
        (branch,) = single.branches
        example = branch.example
        (row,) = self.show_rows([single], answered=answered)
        return {
            "id": example.id,
            "group": example.group,
            "references": list(example.references),
            "answer_type": example.answer_type,
            "question_type": example.question_type,
            "tags": dict(example.tags),
            "row": row,
        }

    def show_rows(self, rows: Sequence[Encoded], *, answered: bool) -> list[dict[str, Any]]:
        """Return rows that go through the model together."""
        batch = make_batch(rows, self.formatter)
        images = [image for row in rows for image in row.images]
        pictures = iter(write_pictures(batch.pixels, images, self.formatter))
        return [
            {
                "tokens": row.tokens,
                "learned": row.learned_tokens,
                "padding": batch.layout.input_ids.shape[1] - row.tokens,
                "pictures": [{"name": image.name, "is_drawn": False, "picture": next(pictures)} for image in row.images]
                or draw_context(row.branches[0].example),
                **self._show_segments(row, batch.layout, index, answered=answered),
            }
            for index, row in enumerate(rows)
        ]

    def _show_segments(self, row: Encoded, layout: Layout, index: int, *, answered: bool) -> dict[str, Any]:
        # How a prefix is seen is told below; here it is one, two-way or not.
        numbers = [PREFIX if of == TWO_WAY_PREFIX else of for of in layout.branch_numbers[index].tolist()]
        tokens = _tokens(layout, index)
        segments, ends = [], []
        for number, branch in enumerate([None, *row.branches]):
            places = [place for place, of in enumerate(numbers) if of == number]
            kinds = self._kinds(row, branch, answered=answered)
            own = [
                Token(tokens[place].id, tokens[place].position, kind, tokens[place].learned)
                for place, kind in zip(places, kinds, strict=True)
            ]
            segments.append({
                "example": branch.example.id if branch else "",
                "source": branch.example.source if branch else "",
                "role": branch.example.role if branch else "",
                "tokens": len(own),
                "learned": sum(token.learned for token in own),
                "first_position": own[0].position,
                "last_position": own[-1].position,
                "pieces": self._speller.spell(own),
            })  # fmt: skip
            ends += [places[0], places[-1]]
        # In a row of its own a family masks by itself.
        sees = [] if row.has_own_row else _who_sees_whom(layout.branch_numbers[index, ends])
        return {"segments": segments, "sees": sees}

    def _kinds(self, row: Encoded, branch: Branch | None, *, answered: bool) -> list[str]:
        """Return what each token of the prefix, or of a branch, belongs to."""
        if branch is None:
            return ["prefix"] * len(row.prefix_ids)
        kinds = ["question"] * len(branch.ids)
        for answer in find_answers(self.formatter, branch.example) if answered else ():
            for place in answer:
                # A place before the branch is the prefix's: an answer never begins there.
                if place >= len(row.prefix_ids):
                    kinds[place - len(row.prefix_ids)] = "answer"
        return kinds


def _tokens(layout: Layout, index: int) -> list[Token]:
    """Return the tokens of a row; a token is learned where the one before it in its branch has it as its label."""
    numbers, labels = layout.branch_numbers[index].tolist(), layout.next_labels[index].tolist()
    ids, positions = layout.input_ids[index].tolist(), Places.of(layout).positions[index].tolist()
    return [
        Token(
            ids[place],
            positions[place],
            "",
            place > 0 and number > PREFIX and numbers[place - 1] == number and labels[place - 1] != UNLEARNED,
        )
        for place, number in enumerate(numbers)
    ]


def _who_sees_whom(numbers: torch.Tensor) -> list[list[str]]:
    """Return what each segment sees of each: `all`, `before` (of itself, what stands before), or `nothing`.

    `numbers` are the branch numbers of each segment's first and last token, in the order of the row. The mask is
    training's own.
    """
    numbers = numbers[None]
    seen = who_is_seen(numbers, numbers)[0]
    segments = len(seen) // 2
    blocks = seen.view(segments, 2, segments, 2).permute(0, 2, 1, 3).flatten(2)
    return [["all" if block.all() else "before" if block.any() else "nothing" for block in line] for line in blocks]
