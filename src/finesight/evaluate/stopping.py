"""Answers that end before a text of the user's choosing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finesight.models.formatter import Formatter


@dataclass(frozen=True)
class StopStrings:
    """Texts before the first of which an answer ends; none is as good as any number."""

    formatter: Formatter
    texts: tuple[str, ...]

    def is_complete(self, ids: Sequence[int]) -> bool:
        """Return whether one of the texts stands in an answer of these tokens, special tokens included."""
        if not self.texts:
            return False
        # The whole answer anew for every token: a text may be spread over tokens that by themselves are no characters.
        written = str(self.formatter.tokenizer.decode(list(ids), skip_special_tokens=False))
        return any(text in written for text in self.texts)

    def text_before(self, ids: Sequence[int]) -> str:
        """Return an answer's text up to the first of the texts, without special tokens and blanks around it."""
        if not self.texts:
            return self.formatter.decode(ids)
        written = str(self.formatter.tokenizer.decode(list(ids), skip_special_tokens=True))
        places = [place for text in self.texts if (place := written.find(text)) >= 0]
        return written[: min(places, default=len(written))].strip()
