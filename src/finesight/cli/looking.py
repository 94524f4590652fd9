"""The verb that shows what a model will see: look."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from finesight.cli.opening import open_recipe
from finesight.cli.options import DataRootOption, JsonOption, MaxTokensOption, RecipeArgument, SetOption
from finesight.cli.output import print_json


def look(
    recipe: RecipeArgument,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write. Default: <recipe's name>-look.html.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Examples to show of each source in each set.")] = 6,
    max_tokens_per_device: MaxTokensOption = 8192,
    json: JsonOption = False,
) -> None:
    """Write a page of what the model will see.

    Examples as pictures and tokens, which of them are learned, the first step's rows, and figures of every source. No
    weights are read. The last line printed is the page's path; with --json, the figures.
    """
    opened, root = open_recipe(recipe, set_, data_root)
    page = output or Path(f"{opened.name}-look.html")
    if page.is_dir():
        from finesight.errors import UserError

        raise UserError(
            f"--output {page}: a folder, and not a file", hint=f"--output {page / f'{opened.name}-look.html'}"
        )
    from finesight.look.look import look_at, tables_of
    from finesight.report.look.page import write_look

    content = look_at(opened, root, examples=examples, max_tokens=max_tokens_per_device)
    write_look(content, page)
    for check in content["checks"]:
        if check["status"] == "failure":
            print(f"check will fail: {check['name']}: {check['message']}", file=sys.stderr)
    if json:
        print_json({"page": str(page), **tables_of(content)})
    else:
        print(page)
