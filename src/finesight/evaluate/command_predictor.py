"""A program of the user's as a predictor: pictures go in as files, captions come out.

It runs in whatever environment it needs. It may hang, crash, or say something else than was asked; what it said rightly
is not lost.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finesight.errors import UserError
from finesight.evaluate.caption_lines import FORM, CaptionLines
from finesight.evaluate.program import ENDING_SECONDS, Command, Program
from finesight.runtime import follow, say
from finesight.schema import Example, Prediction

_GOING_ON = "start the evaluation again with the same --output: only what is missing is asked for"


@dataclass(frozen=True)
class CommandPredictor:
    """Asks a program for captions. It is run anew each time, and reads one line for each example.

    Raises `UserError` where it cannot be run, gives no caption for `timeout_seconds`, leaves something unanswered, or
    writes anything but the captions that it was asked for; the last two when it has ended, with counts and cases, and
    all that it answered rightly has been yielded.
    """

    name: str
    """What errors call it."""
    command: Command
    timeout_seconds: float

    def answer(self, examples: Sequence[Example]) -> Generator[list[Prediction], None, None]:
        """Yield captions as they come; an empty list for a second in which none does.

        Each example has one image and one question. Pictures lie in a temporary folder while the program runs.
        """
        if not examples:
            return
        lines = CaptionLines(example.id for example in examples)
        with (
            tempfile.TemporaryDirectory(prefix="finesight-") as folder,
            self.command.running(write_requests(examples, Path(folder))) as program,
        ):
            yield from self._captions(program, lines)
            ending = program.how_it_ended()
        if wrong := lines.faults():
            told = "; ".join([*([ending] if ending else []), *wrong])
            raise self._error(told, program, hint=f"stdout is for lines of {FORM} alone; {_GOING_ON}")
        if ending:
            # All captions are there: many a program fails when it gives back the GPU.
            say(f"warning: {self.name}: {ending}, having given all captions")

    def _captions(self, program: Program, lines: CaptionLines) -> Generator[list[Prediction], None, None]:
        """Yield captions until the program is done, or has given all and does not end.

        Raises `UserError` when none has come for too long.
        """
        last = time.monotonic()
        for some in program.lines():
            captions = [caption for line in some if (caption := lines.take(line)) is not None]
            if captions:
                last = time.monotonic()
            yield captions
            silent_seconds = time.monotonic() - last
            if lines.missing and silent_seconds > self.timeout_seconds:
                told = f"no caption came for {self.timeout_seconds:g} seconds, and it was ended"
                hint = f"raise timeout_seconds, or {_GOING_ON}"
                raise self._error("; ".join([told, *lines.faults()]), program, hint)
            if not lines.missing and silent_seconds > ENDING_SECONDS:
                return

    def _error(self, told: str, program: Program, hint: str) -> UserError:
        said = program.last_words()
        words = f"\nThe last that it wrote on stderr:\n{said}" if said else "\nIt wrote nothing on stderr."
        return UserError(f"{self.name}: {told}{words}", hint=f"{hint}. Its stderr is kept in {self.command.log}")


def write_requests(examples: Sequence[Example], folder: Path) -> Path:
    """Write what a program reads: each picture once, as PNG, and a line of `{"id", "image", "prompt"}` an example.

    Returns the file of lines. `image` is an absolute path below `folder`.
    """
    pictures: dict[str, Path] = {}
    for example in follow(examples, "Writing the pictures", len(examples)):
        (image,) = example.images
        content_hash = image.content_hash()
        if content_hash not in pictures:
            pictures[content_hash] = folder / f"{len(pictures) + 1}.png"
            image.open().save(pictures[content_hash])
    requests = folder / "requests.jsonl"
    with requests.open("w", encoding="utf-8") as file:
        for example in examples:
            picture = pictures[example.images[0].content_hash()]
            row = {"id": example.id, "image": str(picture), "prompt": example.question}
            file.write(json.dumps(row) + "\n")  # in ASCII, so that no line of another sort stands in it
    return requests
