"""Arguments and options that several verbs share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finesight.runtime import KeepImages

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or a built-in recipe's name.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, as train.num_train_epochs=1. May be repeated."),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the recipe's paths start. Default: the recipe's own folder; of a built-in recipe, this one.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="The run folder to make. Default: runs/<name>-<time>.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
KeepImagesOption = Annotated[
    KeepImages,
    typer.Option(
        help="Prepare images once and keep them in the cache: their pixels, or a frozen vision encoder's features. "
        "fastest: what a measurement on this machine says."
    ),
]
MaxTokensOption = Annotated[
    int,
    typer.Option(min=64, help="Tokens in the model at once. It changes memory and speed, neither loss nor answers."),
]
RunTokensOption = Annotated[
    int | None,
    typer.Option(
        min=64,
        help="Tokens in the model at once. It changes memory and speed, neither loss nor answers. Default: 8192 while "
        "training; while measuring, what fits into a GPU's free memory.",
    ),
]
ReuseOption = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Take over the answers that an earlier run or evaluation has from the very same model, questions and "
        "settings; what differs is told, and measured anew.",
    ),
]
FittingTokensOption = Annotated[
    int | None,
    typer.Option(
        min=64,
        help="Tokens in the model at once. It changes memory and speed, not the answers. Default: what fits into a "
        "GPU's free memory; without one, 8192.",
    ),
]
