"""Tokens in letters: each token's own piece of the text, blanks included, special tokens by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from finesight.models.formatter import Formatter

MOST_TOKENS_OF_A_LETTER = 8
"""A letter has at most four bytes, and the tokens around them may hold some of another."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_ANCHOR = "a"


class Token(NamedTuple):
    """A token at its place in a row."""

    id: int
    position: int
    kind: str
    """`prefix`, `question` or `answer`."""
    learned: bool


class Speller:
    """Writes tokens as the letters that they stand for."""

    def __init__(self, formatter: Formatter) -> None:
        self._tokenizer = formatter.tokenizer
        self._placeholder = formatter.placeholder_id
        added = formatter.tokenizer.added_tokens_decoder
        self._special = {token for token, added_token in added.items() if added_token.special}
        self._special |= set(formatter.tokenizer.all_special_ids)
        # Some decoders take off the blank before the first word, so something stands before it.
        self._anchor = list(formatter.tokenizer(_ANCHOR, add_special_tokens=False)["input_ids"])
        self._anchor_letters = len(self._decode(self._anchor))
        self._known: dict[tuple[int, ...], str] = {}

    def spell(self, tokens: Sequence[Token]) -> list[dict[str, Any]]:
        """Return the tokens in pieces, as a page shows them.

        A piece is a token; or several, where a letter is made of them, or where an image's are all alike.
        """
        alike = groupby(tokens, key=lambda token: (token.kind, token.learned, token.id == self._placeholder))
        return [
            {"form": form, "text": text, "ids": [token.id for token in piece], "first_position": piece[0].position}
            | {"kind": kind, "learned": learned}
            for (kind, learned, is_image), run in alike
            for form, text, piece in (self._spell_image(run) if is_image else self._spell_text(list(run)))
        ]

    def _spell_image(self, run: Iterator[Token]) -> Iterator[tuple[str, str, list[Token]]]:
        yield "image", "", list(run)

    def _spell_text(self, run: list[Token]) -> Iterator[tuple[str, str, list[Token]]]:
        start = 0
        while start < len(run):
            if run[start].id in self._special:
                yield "special", self._name(run[start].id), run[start : start + 1]
                start += 1
                continue
            end, text = self._take_letters(run, start)
            yield "text", text, run[start:end]
            start = end

    def _take_letters(self, run: Sequence[Token], start: int) -> tuple[int, str]:
        """Return where the shortest piece of whole letters from `start` ends, and its text."""
        for end in range(start + 1, min(start + MOST_TOKENS_OF_A_LETTER, len(run)) + 1):
            if run[end - 1].id in self._special:
                break
            text = self._letters(tuple(token.id for token in run[start:end]))
            if text and not text.endswith(_BROKEN):
                return end, text
        return start + 1, self._name(run[start].id)

    def _letters(self, ids: tuple[int, ...]) -> str:
        if ids not in self._known:
            self._known[ids] = self._decode([*self._anchor, *ids])[self._anchor_letters :]
        return self._known[ids]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _name(self, token: int) -> str:
        return str(self._tokenizer.convert_ids_to_tokens(token))
