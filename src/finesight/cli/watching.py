"""The verb that looks at a run while it goes on: watch."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finesight.cli.options import RunArgument
from finesight.cli.output import print_json, print_rich

if TYPE_CHECKING:
    from finesight.report.watch.snapshot import Snapshot


def watch(
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often it is drawn anew.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs: as it is now.")] = False,
) -> None:
    """Follow a run in the terminal.

    Where it is, its losses, speed, memory and time left, what guards have met, and whether its process still lives. It
    reads the run folder alone, from any machine that sees it, and ends with the run. Without a terminal: as --once.
    """
    from finesight.report.watch.snapshot import take_snapshot

    if json:
        print_json(take_snapshot(run).to_json())
    elif once or not sys.stdout.isatty():
        from finesight.report.watch.view import view

        print_rich(view(take_snapshot(run)))
    else:
        follow(run, every)


def follow(run: Path, seconds: float) -> Snapshot:
    """Draw the run until nothing more comes, or Ctrl-C, which ends the watching and not the run; return it as it is."""
    from rich.live import Live

    from finesight.report.watch.snapshot import LASTING, take_snapshot
    from finesight.report.watch.view import view

    snapshot = take_snapshot(run)
    with Live(view(snapshot), auto_refresh=False) as live:
        try:
            while snapshot.state not in LASTING:
                time.sleep(seconds)
                snapshot = take_snapshot(run)
                live.update(view(snapshot), refresh=True)
        except KeyboardInterrupt:
            pass
    return snapshot
