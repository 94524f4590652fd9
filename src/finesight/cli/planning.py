"""The verb `plan`: what a run will need, before there is a GPU to run it on."""

from __future__ import annotations

import math
import re
from typing import Annotated

import typer

from finesight.cli.opening import open_recipe
from finesight.cli.options import DataRootOption, JsonOption, MaxTokensOption, RecipeArgument, SetOption
from finesight.cli.output import print_json, print_rich

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:GiB|GB|G)?", re.IGNORECASE)


def plan(
    recipe: RecipeArgument,
    gpu_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="The memory of the GPU: also say what to change where it is too small. 16GiB, 16GB and 16 are "
            "the same, all GiB.",
        ),
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many GPUs share the work.")] = 1,
    tflops: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1_000_000,
            metavar="NUMBER",
            help="What a GPU computes in practice, in TFLOP/s: hours are counted by it.",
        ),
    ] = 100.0,
    max_tokens_per_device: MaxTokensOption = 8192,
    set_: SetOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
) -> None:
    """Predict memory, by cause, and time of a run.

    A step is computed on tensors without content: it needs neither weights nor a GPU. The rows are the recipe's own
    where its data are at hand. Says whether 16, 24, 48 and 80 GiB suffice.
    """
    gib = _read_size(gpu_memory)
    opened, root = open_recipe(recipe, set_, data_root)
    from finesight.plan.plan import plan_recipe
    from finesight.report.planning import plan_lines, plan_table

    content = plan_recipe(opened, root, max_tokens=max_tokens_per_device, gpus=gpus, gpu_memory_gib=gib)
    if json:
        print_json({**content, "assumed_tflops": tflops})
        return
    print_rich(plan_table(content))
    for line in plan_lines(content, tflops):
        print(line)


def _read_size(text: str | None) -> float | None:
    """Return a size in GiB; what is sold as GB is meant as GiB. Raises `UserError` for anything else."""
    from finesight.errors import UserError

    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) < math.inf:
        raise UserError(f"--gpu-memory {text}: not a size", hint="as 16GiB, or 24")
    return float(match[1])
