"""The verbs of SVG files: to the path-a-line text, back, and to pixels."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from finesight.cli.options import JsonOption
from finesight.cli.output import print_json

FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Files, or folders of them.")]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="A file for one file; else a folder, made if need be.")
]


def build() -> typer.Typer:
    """Return the verbs below `finesight svg`."""
    app = typer.Typer(help="Turn SVG files into short text, back, and into pictures.", no_args_is_help=True)
    for verb in (simplify, restore, render):
        app.command()(verb)
    return app


def simplify(files: FilesArgument, output: OutputOption = None, json: JsonOption = False) -> None:
    """Turn SVG into text of one path a line.

    Commands M, L, C and A, whole numbers on a canvas of 512×512. One file's text is printed, unless --output says
    where to put it. What the text cannot say of a drawing is counted on stderr.
    """
    from finesight.data.svg.markup import read_svg
    from finesight.data.svg.simplify import simplify as simplify_text

    unsaid: Counter[str] = Counter()
    texts: list[dict[str, object]] = []

    def convert(file: Path, target: Path | None) -> None:
        simplified = simplify_text(read_svg(file), str(file))
        unsaid.update(simplified.unsaid.keys())
        if json:
            texts.append({"file": str(file), "text": simplified.text, "unsaid": dict(simplified.unsaid)})
        else:
            _deliver(simplified.text + "\n", target)

    faults = _convert_all(files, output, convert, suffixes=(".svg", ".txt"), printed=json)
    for said, count in sorted(unsaid.items()):
        print(f"the text cannot say: {said} (files: {count:,})", file=sys.stderr)
    if json:
        print_json(texts)
    _end(faults)


def restore(files: FilesArgument, output: OutputOption = None) -> None:
    """Turn text of one path a line back into SVG.

    One file's SVG is printed, unless --output says where to put it.
    """
    from finesight.data.svg.markup import read_svg
    from finesight.data.svg.path_lines import restore as restore_text

    def convert(file: Path, target: Path | None) -> None:
        _deliver(restore_text(read_svg(file), str(file)), target)

    _end(_convert_all(files, output, convert, suffixes=(".txt", ".svg")))


def render(
    files: FilesArgument,
    output: Annotated[Path, typer.Option(metavar="PATH", help="A PNG file for one file; else a folder.")],
    size: Annotated[int, typer.Option(metavar="PIXELS", min=1, max=4096, help="Width and height.")] = 336,
) -> None:
    """Draw SVG as PNG, on white.

    A drawing that is not square lies in the middle. Text of one path a line (.txt) is drawn too.
    """
    from finesight.data.svg.markup import read_svg
    from finesight.data.svg.path_lines import restore as restore_text
    from finesight.data.svg.render import render as render_text

    def convert(file: Path, target: Path | None) -> None:
        text = read_svg(file)
        picture = render_text(restore_text(text, str(file)) if file.suffix == ".txt" else text, size, str(file))
        if target is not None:
            picture.save(target, format="PNG")

    _end(_convert_all(files, output, convert, suffixes=(".svg", ".png")))


def _convert_all(
    paths: list[Path],
    output: Path | None,
    convert: Callable[[Path, Path | None], None],
    *,
    suffixes: tuple[str, str],
    printed: bool = False,
) -> int:
    """Convert every file, and return how many cannot be: they are named, and do not keep the others from it.

    The fault of one file alone is raised as it is.
    """
    from finesight.errors import DataError, UserError
    from finesight.runtime import follow

    targets = _plan(paths, None if printed else output, suffixes)
    alone = len(targets) == 1 and not paths[0].is_dir()
    if output is not None and printed:
        raise UserError("--json prints, and --output writes", hint="give one of the two")
    if not alone and output is None and not printed:
        raise UserError(f"{len(targets):,} files and no --output", hint="name a folder for them")
    faults = 0
    for file, target in targets.items() if alone else follow(targets.items(), "Converting", len(targets)):
        try:
            if target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
            convert(file, target)
        except DataError as error:
            if alone:
                raise
            faults += 1
            print(str(error), file=sys.stderr)
    return faults


def _end(faults: int) -> None:
    from finesight.errors import FinesightError

    if faults:
        raise FinesightError(f"files that could not be converted, named above: {faults:,}")


def _plan(paths: list[Path], output: Path | None, suffixes: tuple[str, str]) -> dict[Path, Path | None]:
    """Return each file to convert, and where to; raise `UserError` before anything is written."""
    from finesight.errors import UserError

    before, after = suffixes
    names: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            names |= {file: file.relative_to(path) for file in sorted(path.rglob(f"*{before}"))}
        elif path.exists():
            names[path] = Path(path.name)
        else:
            raise UserError(f"{path}: no such file or folder")
    if not names:
        raise UserError(f"{paths[0]}: no {before} files in it")
    if output is None:
        return dict.fromkeys(names)
    alone = len(paths) == 1 and not paths[0].is_dir()
    targets = {file: output if alone else output / name.with_suffix(after) for file, name in names.items()}
    taken: dict[Path, Path] = {}
    for file, target in targets.items():
        if target.resolve() in taken or target.resolve() == file.resolve():
            raise UserError(f"{target}: would be written over {taken.get(target.resolve(), file)}")
        taken[target.resolve()] = file
    return dict(targets)


def _deliver(text: str, target: Path | None) -> None:
    from finesight.rundir import write_text

    if target is None:
        print(text, end="")
    else:
        write_text(target, text)
