"""What really learns, counted parameter by parameter, and refused where it is not what the recipe asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from finesight.errors import CheckFailed
from finesight.models.parts import NamedParameter, PartMap, bare_parameters
from finesight.recipe.train import Train
from finesight.recipe.tune import Lora, Tune
from finesight.schema import PART_NAMES, PartName


@dataclass(frozen=True)
class PartCount:
    """One part's row of the parameter table, in logical parameters; a tied tensor counts once."""

    part: PartName
    tuning: str
    total: int
    """Its own parameters and its adapters'."""
    trainable: int
    """What the recipe asks to train: adapters, or the whole part."""
    learning: int
    """Of these, what a gradient reaches. The rest stays as it is."""
    adapters: int
    """Parameters of its adapters."""
    unreachable: int
    """Its own parameters that no gradient can reach, whatever is asked."""
    unreachable_tensors: tuple[str, ...]
    learning_rate: float | None


def audit_parameters(
    model: nn.Module, parts: PartMap, reachable: frozenset[str], described: frozenset[str], tune: Tune, train: Train
) -> dict[str, Any]:
    """Return one stage's entry of parameters.json, with the reasons to refuse it.

    `reachable` and `described` are parameter names of a model built from the configuration alone: those that a
    gradient reaches, and all. A parameter outside `described` is one that the configuration knows nothing of.
    """
    parameters = list(bare_parameters(model))
    rows = [_count(part, parameters, parts, reachable, tune, train) for part in parts.present]
    return {
        "parts": [{**asdict(row), "unreachable_tensors": list(row.unreachable_tensors)} for row in rows],
        "total": sum(parameter.logical_size for parameter in parameters),
        "trainable": sum(row.trainable for row in rows),
        "learning": sum(row.learning for row in rows),
        "unreachable": sum(row.unreachable for row in rows),
        "refusals": [
            *_refuse_ghosts(parameters, parts, described),
            *_refuse_misplaced_adapters(parameters, parts, reachable, tune),
            *_refuse_missing_adapters(parameters, parts, tune),
            *_refuse_wrong_gradients(parameters, parts, reachable, tune),
        ],
    }


def require_sound(table: dict[str, Any]) -> None:
    """Raise `CheckFailed` with every reason for which the audit refuses the model."""
    if table["refusals"]:
        raise CheckFailed(
            "the audit of the parameters refuses this model:\n" + "\n".join(f"  {why}" for why in table["refusals"]),
            hint="build the model by load_model and prepare_model, which cannot do this",
        )


def _count(
    part: PartName,
    parameters: list[NamedParameter],
    parts: PartMap,
    reachable: frozenset[str],
    tune: Tune,
    train: Train,
) -> PartCount:
    mine = [parameter for parameter in parameters if parts.part_of(parameter.name) == part]
    adapters = [parameter for parameter in mine if parameter.is_adapter]
    own = [parameter for parameter in mine if not parameter.is_adapter]
    unreached = [parameter for parameter in own if parameter.name not in reachable]
    full = tune.of(part) == "full"
    asked = own if full else [parameter for parameter in adapters if parameter.parameter.requires_grad]
    return PartCount(
        part=part,
        tuning=describe_tuning(tune, part),
        total=_size(mine),
        trainable=_size(asked),
        learning=_size(parameter for parameter in mine if parameter.parameter.requires_grad),
        adapters=_size(adapters),
        unreachable=_size(unreached),
        unreachable_tensors=tuple(parameter.name for parameter in unreached),
        learning_rate=train.learning_rate_of(part) if tune.of(part) != "frozen" else None,
    )


def describe_tuning(tune: Tune, part: PartName) -> str:
    """Return how a part is tuned in a few words."""
    match tune.of(part):
        case Lora() as lora:
            return f"lora r={lora.r}"
        case word:
            return word


def _refuse_ghosts(parameters: list[NamedParameter], parts: PartMap, described: frozenset[str]) -> list[str]:
    """Name the modules whose parameters are in no part, or that the configuration does not describe."""
    ghosts: Counter[str] = Counter()
    for parameter in parameters:
        outside = parts.part_of(parameter.name) is None
        if not parameter.is_adapter and (outside or parameter.name not in described):
            module = ".".join(parameter.name.split(".")[: 1 if outside else 3])
            ghosts[module] += parameter.logical_size
    return [
        f"{module}: {size:,} parameters that the model's configuration does not describe; the forward pass never uses "
        "them and save_pretrained drops them (a ghost, as a second language model registered beside the first)"
        for module, size in sorted(ghosts.items())
    ]


def _refuse_misplaced_adapters(
    parameters: list[NamedParameter], parts: PartMap, reachable: frozenset[str], tune: Tune
) -> list[str]:
    refusals = []
    for part in PART_NAMES:
        adapters = [p for p in parameters if p.is_adapter and parts.part_of(p.name) == part]
        if adapters and not isinstance(tune.of(part), Lora):
            refusals.append(
                f"{part}: {_size(adapters):,} adapter parameters in a part that the recipe keeps "
                f"{tune.of(part)} (first: {adapters[0].name}); target_modules matched by suffix land there"
            )
        idle = [p for p in adapters if f"{p.name.split('.lora_')[0]}.weight" not in reachable]
        if idle:
            refusals.append(
                f"{part}: {_size(idle):,} adapter parameters where no gradient arrives (first: {idle[0].name})"
            )
    return refusals


def _refuse_missing_adapters(parameters: list[NamedParameter], parts: PartMap, tune: Tune) -> list[str]:
    refusals = []
    for part in PART_NAMES:
        if isinstance(tune.of(part), Lora):
            adapters = [p for p in parameters if p.is_adapter and parts.part_of(p.name) == part]
            frozen = [p for p in adapters if not p.parameter.requires_grad]
            if not adapters:
                refusals.append(f"{part}: no adapter, though the recipe asks for lora")
            if frozen:
                refusals.append(f"{part}: {_size(frozen):,} adapter parameters are frozen (first: {frozen[0].name})")
    return refusals


def _refuse_wrong_gradients(
    parameters: list[NamedParameter], parts: PartMap, reachable: frozenset[str], tune: Tune
) -> list[str]:
    refusals = []
    for part in PART_NAMES:
        own = [p for p in parameters if not p.is_adapter and parts.part_of(p.name) == part]
        full = tune.of(part) == "full"
        wrong = [p for p in own if p.parameter.requires_grad != (full and p.name in reachable)]
        if wrong:
            state = "are frozen though it is tuned in full" if full else f"learn though it is {tune.of(part)}"
            refusals.append(f"{part}: {_size(wrong):,} parameters {state} (first: {wrong[0].name})")
    return refusals


def _size(parameters: Iterable[NamedParameter]) -> int:
    return sum(parameter.logical_size for parameter in parameters)
