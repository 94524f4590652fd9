"""Captions as the COCO metrics compare them: one line each, cut into words by the Penn Treebank tokenizer.

The tokenizer is part of the definition of BLEU, ROUGE-L, CIDEr and METEOR as published for captions. It is Stanford's
Java program, and no Python tokenizer equals it (it writes ½ as 1/2, € as $, cannot as "can not"), so Java is needed.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from finesight.errors import DataError, FinesightError, UserError
from finesight.evaluate.metrics.java import answer_lines
from finesight.schema import Record

RULE = (
    "Texts, in Unicode NFC, are cut into words by the Penn Treebank tokenizer in lower case, without punctuation, as "
    "in the COCO caption evaluation."
)

_PROGRAM = "edu.stanford.nlp.process.PTBTokenizer"
_SHOWN = 3
_TEXTS_KEPT = 4
"""How many tokenized sets are kept: before and after, for the seven metrics that want the same words."""

# What Java, the tokenizer or Python takes for the end of a line, and half characters, which no encoding can write.
_LINE_ENDS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Caption:
    """What was said of an image and what should have been, as words with one space between them."""

    prediction: str
    references: tuple[str, ...]


def clean(text: str) -> str:
    """Return the text as one line, whatever ends a line in it: else all later captions would move by one.

    It is in NFC, so that é is one word's letter however it is typed; the tokenizer would part the accent from its word.
    """
    return _HALF_CHARACTERS.sub("\ufffd", _LINE_ENDS.sub(" ", unicodedata.normalize("NFC", text)))


def normalise(text: str) -> str:
    """Return the form in which two captions count as the same: NFC, lower case, with one space between words."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def tokenize(captions: Sequence[str]) -> tuple[str, ...]:
    """Return the words of each caption, joined by spaces: as pycocoevalcap's `PTBTokenizer`, with its Java program.

    Here a caption's words do not depend on its neighbours. In the official code they can: it writes a caption a line,
    and the program looks across the line's end, so that "no." before a line that begins with a digit keeps its dot.
    An empty line between captions prevents that, and shows that none has moved.

    Raises `UserError` where Java or the extra `captions` is missing, `FinesightError` when the program fails.
    """
    return _tokenize(tuple(captions))


@lru_cache(maxsize=_TEXTS_KEPT)
def _tokenize(captions: tuple[str, ...]) -> tuple[str, ...]:
    require_captions_extra("pycocoevalcap")
    from pycocoevalcap.tokenizer import ptbtokenizer

    lines = answer_lines(
        "the Penn Treebank tokenizer",
        ["-cp", ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR, _PROGRAM, "-preserveLines", "-lowerCase"],
        [line for caption in captions for line in (clean(caption), "")],
        Path(ptbtokenizer.__file__).parent,
    )
    # Its last line is empty, and counts as none.
    tokenized, between = lines[::2], lines[1::2]
    if len(tokenized) != len(captions) or any(between):
        raise FinesightError(
            f"the Penn Treebank tokenizer gave {len(tokenized):,} lines for {len(captions):,} captions"
        )
    punctuation = frozenset(ptbtokenizer.PUNCTUATIONS)
    return tuple(" ".join(word for word in line.rstrip().split(" ") if word not in punctuation) for line in tokenized)


def tokenized(records: Sequence[Record]) -> list[Caption]:
    """Return the captions of `records`. Raises as `tokenize` does, and `DataError` for a record without references."""
    require_references(records)
    words = iter(tokenize([text for record in records for text in (record.prediction, *record.references)]))
    return [Caption(next(words), tuple(next(words) for _ in record.references)) for record in records]


def require_references(records: Sequence[Record]) -> None:
    """Raise `DataError` when records have no reference."""
    without = [record.id for record in records if not record.references]
    if without:
        raise DataError(
            f"{len(without):,} of {len(records):,} records have no reference: {', '.join(without[:_SHOWN])}",
            hint="a caption is scored against at least one reference",
        )


def require_captions_extra(package: str) -> None:
    """Raise `UserError` when a package of the extra `captions` is not installed."""
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"caption scores need {package}, which is not installed", hint="pip install 'finesight[captions]'"
        )
