"""What is to be started: a run that begins or goes on, and through how many processes it goes."""

from __future__ import annotations

from dataclasses import dataclass

from finesight.runtime import Engine


@dataclass(frozen=True)
class Work:
    """A run, as `finesight run` is asked for it, and what is asked of each machine."""

    beginning: tuple[str, ...]
    """What begins it, behind `finesight`; empty for a run that has begun."""
    resuming: tuple[str, ...]
    """What goes on with it, behind `finesight`."""
    processes: int
    """Processes on each machine: one for each of its GPUs."""
    engine: Engine
    nodes: int = 1
    hides_gpus: bool = False
    """Whether the processes compute without GPUs, wherever they are."""

    @property
    def meets(self) -> bool:
        """Whether the processes have to find each other; what spreads a model wants to be found even alone."""
        return self.nodes * self.processes > 1 or self.engine != "ddp"
