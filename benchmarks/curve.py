"""Validation loss against time: all questions of an image in one row, and the same questions shuffled one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from finesight.branches.contexts import share_contexts
from finesight.models.encoded import Encoded
from finesight.opening import open_model, read_sets, tokenize
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.train.fit import fit
from finesight.tune.prepare import prepare_model


def draw_curve(target: Path) -> None:
    """Train twice from the same weights, on the same questions in steps of the same size, and plot both."""
    recipe = read_recipe(Path(__file__).with_name("curve.yaml")).recipe
    curves = {
        "all questions of an image in one row": train(recipe, shared=True),
        "the same questions, shuffled one by one": train(recipe, shared=False),
    }
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.set_xlabel("seconds of training (two CPU cores)")
    axes.set_ylabel("validation loss (nats a token)")
    axes.set_title("The same questions, in steps of the same size")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(target, dpi=150)
    print_times(curves)
    print(target)


def train(recipe: Recipe, *, shared: bool) -> list[tuple[float, float]]:
    """Return seconds and validation loss at each validation."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder), recipe, Path())
        sets, _, _ = read_sets(recipe, Path())
        loaded = open_model(recipe, Path(), sets)
        tokens = tokenize(loaded, sets, recipe)
        learned: Sequence[Encoded] = tokens.learned if shared else alone(tokens.learned)
        (stage,) = recipe.each_stage()
        prepare_model(loaded, stage.tune, stage.train)
        fit(loaded, learned, tokens.watched, stage, run, evaluate=dict, max_tokens=8192, stop=StopRequest())
        return [(row["seconds"], row["loss"]) for row in run.metrics() if row["kind"] == "validation"]


def alone(contexts: Sequence[Encoded]) -> list[Encoded]:
    """Return every question behind a context of its own."""
    singles = [context.with_branches((branch,)) for context in contexts for branch in context.branches]
    assert len(share_contexts(singles)) == len(contexts)
    return singles


def print_times(curves: dict[str, list[tuple[float, float]]]) -> None:
    """Print how long each took to the loss that both reached."""
    reached = max(min(loss for _, loss in points) for points in curves.values())
    for name, points in curves.items():
        seconds = next(seconds for seconds, loss in points if loss <= reached)
        print(
            f"{name}: loss {reached:.3f} after {seconds:.0f} s, {points[-1][1]:.3f} at the end ({points[-1][0]:.0f} s)"
        )
