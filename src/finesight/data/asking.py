"""A question that a person asks by hand, about a file: a picture, or a text for a model that reads texts."""

from __future__ import annotations

from pathlib import Path

from finesight.data.images import FileImage, verify_images
from finesight.errors import DataError
from finesight.schema import Example, Turn

TEXT_SUFFIXES = (".svg", ".txt")


def ask_about(file: Path, question: str, *, sees_images: bool) -> Example:
    """Return the question as an example; `sees_images` says which kind of file the model takes.

    Raises `DataError` when the file is of the other kind, is not there, or cannot be read.
    """
    turns = (Turn("user", question), Turn("assistant", "", learned=True))
    if not sees_images:
        return Example(id="ask", group="ask", images=(), turns=turns, references=(), context=read_text(file))
    if file.suffix.lower() in TEXT_SUFFIXES:
        raise DataError(f"{file}: a text, and the model sees images", hint="give a picture (.png, .jpg, …)")
    picture = FileImage(path=file, name=str(file))
    verify_images([picture])
    return Example(id="ask", group="ask", images=(picture,), turns=turns, references=())


def read_text(file: Path) -> str:
    """Return the text of an .svg or .txt file. Raises `DataError` when there is none."""
    if file.suffix.lower() not in TEXT_SUFFIXES:
        raise DataError(
            f"{file}: not a text file, and the model reads texts and sees no images", hint="give an .svg or .txt file"
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text", hint="save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise DataError(f"{file}: the file is empty")
    return text
