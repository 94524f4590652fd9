"""A model as a map of parts: every parameter belongs to exactly one of vision, projector, language.

Freezing, adapters, learning rates, the audit, saving and loading all read this one map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from finesight.schema import PART_NAMES, PartName

_PEFT_PREFIX = "base_model.model."
_ADAPTER_MARKS = (".lora_A.", ".lora_B.", ".lora_embedding_A.", ".lora_embedding_B.", ".lora_magnitude_vector.")


@dataclass(frozen=True)
class NamedParameter:
    """A parameter, by the name it has in the model without adapters."""

    name: str
    """The name in the bare model. An adapter's own name starts with that of the layer it sits on."""
    parameter: nn.Parameter
    is_adapter: bool

    @property
    def logical_size(self) -> int:
        """Return the number of weights it stands for: 4-bit weights are packed two to a byte."""
        state = self.parameter.__dict__.get("quant_state")
        return int(state.shape.numel()) if state is not None else self.parameter.numel()


@dataclass(frozen=True)
class PartMap:
    """Which modules make up which part, by the beginnings of their parameters' names."""

    prefixes: Mapping[PartName, tuple[str, ...]]
    """For each part; none for a part that the family has not, as the vision encoder of a text model."""

    @property
    def present(self) -> tuple[PartName, ...]:
        """The parts that the family has."""
        return tuple(part for part in PART_NAMES if self.prefixes[part])

    def part_of(self, name: str) -> PartName | None:
        """Return the part that a bare parameter name belongs to, or None when it belongs to none."""
        owners = [
            part
            for part in PART_NAMES
            if any(name == prefix or name.startswith(f"{prefix}.") for prefix in self.prefixes[part])
        ]
        assert len(owners) <= 1, f"{name} belongs to {owners}: the family's map overlaps"
        return owners[0] if owners else None

    def parameters_of(self, model: nn.Module, part: PartName) -> Iterator[NamedParameter]:
        """Yield the parameters of a part, adapters included; a tied tensor comes once, under its first name."""
        return (parameter for parameter in bare_parameters(model) if self.part_of(parameter.name) == part)


def bare_parameters(model: nn.Module) -> Iterator[NamedParameter]:
    """Yield every parameter once, whether or not peft has wrapped the model."""
    for name, parameter in model.named_parameters():
        yield NamedParameter(bare_name(name), parameter, is_adapter=any(mark in name for mark in _ADAPTER_MARKS))


def is_quantized(parameter: nn.Parameter) -> bool:
    """Return whether a parameter holds quantised weights, which are bytes and no numbers."""
    return not parameter.is_floating_point()


def bare_name(name: str) -> str:
    """Return the name that a parameter or module has in the model before peft wrapped it."""
    return name.removeprefix(_PEFT_PREFIX).replace(".base_layer.", ".")
