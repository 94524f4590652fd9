"""The command line. Nothing heavy is imported here: each verb imports what it needs when it is called."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from finesight import __version__
from finesight.cli import convert, discover, exporting, launching, looking, planning, results, runs, svg, watching
from finesight.cli.errors import told_plainly

_VERBS: dict[str, Callable[..., None]] = {
    "new": discover.new,
    "check": runs.check,
    "look": looking.look,
    "params": runs.params,
    "plan": planning.plan,
    "run": runs.run,
    "train": runs.run,
    "launch": launching.launch,
    "evaluate": runs.evaluate,
    "score": results.score,
    "rescore": results.rescore,
    "compare": results.compare,
    "report": results.report,
    "watch": watching.watch,
    "ask": runs.ask,
    "export": exporting.export,
    "convert": convert.convert,
    "list": discover.list_,
    "env": discover.env,
}
_ALIASES = ("train",)


class _Verbs(TyperGroup):
    """Runs a verb, and tells plainly what went wrong."""

    def invoke(self, ctx: Any) -> Any:
        with told_plainly(traceback=bool(ctx.params.get("traceback"))):
            return super().invoke(ctx)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"finesight {__version__}")
        raise typer.Exit


def finesight(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error arose.", envvar="FINESIGHT_TRACEBACK")
    ] = False,
) -> None:
    """Fine-tune small vision-language models on your own data, and see honestly what changed.

    Results are printed on stdout, the log on stderr. Exit codes: 0 done, 1 a check failed, 2 something to mend,
    75 stopped by a cluster, to be resumed, 130 stopped by Ctrl-C.
    """


def build() -> typer.Typer:
    """Return the command line with all its verbs, in the order in which help lists them."""
    app = typer.Typer(
        cls=_Verbs, rich_markup_mode=None, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    app.callback()(finesight)
    for name, verb in _VERBS.items():
        app.command(name, hidden=name in _ALIASES)(verb)
    app.add_typer(svg.build(), name="svg")
    return app


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Half a character in somebody's data, and what a terminal's encoding lacks, is spelt out: \ud83d.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Where it is installed, it advises at every import, whether or not the run quantises anything.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    build()(prog_name="finesight")
