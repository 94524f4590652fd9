"""What captions have in common, whatever they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finesight.data.sources.cells import text_of
from finesight.data.sources.faults import Faults
from finesight.schema import Example, ImageSource, Turn


@dataclass(frozen=True, slots=True)
class Subject:
    """What captions are of, as a model gets it: pictures, or a text."""

    group: str
    images: tuple[ImageSource, ...] = ()
    context: str = ""
    drawing: ImageSource | None = None
    """What `context` draws, where it stands for a picture."""


def caption_of(value: Any, where: str, faults: Faults) -> str | None:
    """Return a caption on one line, single blanks between its words; what is none is noted in `faults`."""
    caption = text_of(value, "caption", where, faults)
    # split() knows every blank and line end of Unicode, U+2028 and the no-break space among them.
    return None if caption is None else " ".join(caption.split())


def captions_of(value: Any, where: str, faults: Faults) -> list[str]:
    """Return the captions of a cell that holds one or a list of them, as `caption_of` does."""
    listed = (value or [None]) if isinstance(value, list) else [value]
    captions = [caption_of(entry, where, faults) for entry in listed]
    return [caption for caption in captions if caption is not None]


def caption_examples(
    subject: Subject, question: str, captions: Mapping[str, str], *, language: str = "", question_type: str = ""
) -> Iterator[Example]:
    """Yield an example for each caption, given by its example's id; all of them are right answers to each.

    An example's own caption is the first of its references. `language` becomes a tag.
    """
    for example_id, caption in captions.items():
        yield Example(
            id=example_id,
            group=subject.group,
            images=subject.images,
            context=subject.context,
            drawing=subject.drawing,
            turns=(Turn("user", question), Turn("assistant", caption, learned=True)),
            references=tuple(dict.fromkeys([caption, *captions.values()])),
            question_type=question_type,
            tags={"language": language} if language else {},
        )
