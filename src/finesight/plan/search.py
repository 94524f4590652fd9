"""The search for changes that make a recipe fit: each is tried by planning it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from finesight.plan.changes import KINDS, Change, Kind, Maker, Situation, combine, command_line
from finesight.plan.engines import SPREADING
from finesight.plan.stage_plan import StagePlan, fits, peaks_by_engine, to_gib
from finesight.recipe.recipe import Stage

PlanOne = Callable[[Situation, Stage], StagePlan]
Result = dict[str, Any]


def find_changes(situation: Situation, plans: Sequence[StagePlan], gib: float, plan_one: PlanOne) -> list[Result]:
    """Return what would make a run fit into `gib`, as a plan's JSON says it: engines, then the rest, least time first.

    Where nothing does alone, the first few together that do under ddp; where even all do not, all of them, and how
    near.
    """
    engines = list(_engines(plans, gib))
    trial = _Trial(situation, plans, gib, plan_one)
    enough: list[Result] = []
    helpful: list[Maker] = []
    for kind in KINDS:
        tried = list(trial.of_kind(kind))
        enough += [result for _, result in tried if result["fits"] == "yes"]
        helpful += [make for make, result in tried[-1:] if result["peak_gib"] < trial.peak_gib]
        if not tried:
            helpful += [make for make in kind.makers[-1:] if make(situation)]
    if engines or enough:
        return [*engines, *sorted(enough, key=lambda result: float(result["operations"]))]
    for number in range(1, len(helpful) + 1):
        together = trial.of(helpful[:number])
        if together["fits"] == "yes" or number == len(helpful):
            return [together]
    return []


def _engines(plans: Sequence[StagePlan], gib: float) -> Iterator[Result]:
    """Yield the engines that make it fit without a change to the recipe: nothing is planned anew, they go by rule."""
    held = peaks_by_engine(plans)
    for engine, costs in SPREADING.items():
        if engine in held and fits(held[engine], gib) == "yes":
            yield {
                "settings": [f"launch --gpus {plans[0].gpus} --engine {engine}"],
                "costs": [costs, "by rule, and not by running"],
                "peak_gib": to_gib(held[engine]),
                "fits": "yes",
                "operations": 1.0,
                "engine": engine,
            }


class _Trial:
    """Plans changed situations."""

    def __init__(self, situation: Situation, plans: Sequence[StagePlan], gib: float, plan_one: PlanOne) -> None:
        self._situation = situation
        self._plans = plans
        self._gib = gib
        self._plan_one = plan_one
        self._before = sum(plan.operations for plan in plans)
        self.peak_gib = to_gib(max(plan.bytes for plan in plans))

    def of_kind(self, kind: Kind) -> Iterator[tuple[Maker, Result]]:
        """Yield what each change of a kind gives, up to the first that is enough; nothing where none can be."""
        if fits(self._beyond(kind), self._gib) != "yes":
            return
        for make in kind.makers:
            if make(self._situation):
                result = self.of([make])
                yield make, result
                if result["fits"] == "yes":
                    return

    def of(self, makers: Sequence[Maker]) -> Result:
        """Return what several changes give together."""
        changes, made = combine(self._situation, makers)
        # What fits already takes no more by any change: it is planned again only where the others come to fit too.
        again = [fits(before.bytes, self._gib) != "yes" for before in self._plans]
        plans = self._planned(made, self._plans, again)
        if all(fits(plan.bytes, self._gib) == "yes" for plan in plans):
            plans = self._planned(made, plans, [not planned for planned in again])
        return self._describe(changes, plans)

    def _planned(self, situation: Situation, plans: Sequence[StagePlan], again: Sequence[bool]) -> list[StagePlan]:
        """Return the plans of all stages, of some of them anew."""
        return [
            self._plan_one(situation, stage) if anew else plan
            for plan, stage, anew in zip(plans, situation.stages, again, strict=True)
        ]

    def _beyond(self, kind: Kind) -> int:
        """Return what is held at the worst moments and no change of a kind makes less."""
        peaks = [peak for plan in self._plans for peak in (plan.needs.training, plan.needs.answering)]
        return max(
            sum(held for cause, held in peak.bytes_by_cause.items() if cause not in kind.saves) for peak in peaks
        )

    def _describe(self, changes: Sequence[Change], plans: Sequence[StagePlan]) -> Result:
        needed = max(plan.bytes for plan in plans)
        return {
            "settings": command_line(changes),
            "costs": [change.costs for change in changes],
            "peak_gib": to_gib(needed),
            "fits": fits(needed, self._gib),
            "operations": round(sum(plan.operations for plan in plans) / self._before, 3),
        }
