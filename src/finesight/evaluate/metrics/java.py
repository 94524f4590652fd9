"""Java programs that answer each line with a line: the caption metrics' official tokenizer and METEOR are such."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from finesight.errors import FinesightError, UserError

START_SECONDS = 300.0
"""What a program may take however little it is given: on a busy machine, METEOR reads its tables for a minute."""
LINE_SECONDS = 0.1
"""What it may take in addition for each line: some fifty times what a line takes."""

# The machine's own language would decide what a letter is: in C, all of Cyrillic is "?"; in Turkish, I is not i.
_SAME_EVERYWHERE = ("-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")


def answer_lines(name: str, arguments: Sequence[str], lines: Sequence[str], folder: Path) -> list[str]:
    """Return what a Java program prints for `lines`, line by line; it runs in `folder`, and has ended on return.

    `name` is what errors call it. Raises `UserError` where there is no Java, and `FinesightError` when the program
    fails or takes longer than `START_SECONDS` and `LINE_SECONDS` a line.
    """
    seconds = START_SECONDS + LINE_SECONDS * len(lines)
    try:
        done = subprocess.run(
            [_java(name), *_SAME_EVERYWHERE, *arguments],
            input="".join(f"{line}\n" for line in lines).encode(),
            capture_output=True,
            cwd=folder,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise FinesightError(
            f"{name} took longer than {seconds:,.0f} seconds for {len(lines):,} lines",
            hint="look for a caption of thousands of words; sacrebleu and chrf need no Java",
        ) from None
    except subprocess.CalledProcessError as failed:
        last = failed.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise FinesightError(
            f"{name} failed with code {failed.returncode}: {last or 'it said nothing'}",
            hint="sacrebleu and chrf need no Java",
        ) from None
    printed = done.stdout.decode()
    return printed.removesuffix("\n").split("\n") if printed else []


def _java(name: str) -> str:
    found = shutil.which("java")
    if found is None:
        raise UserError(
            f"{name} is a Java program, and there is no Java here",
            hint="install a Java runtime, so that `java -version` answers (Debian: apt install default-jre-headless); "
            "or score with sacrebleu or chrf, which need none",
        )
    return found
