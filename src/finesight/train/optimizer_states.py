"""An optimizer's states as one process would write them, so that any number of processes can go on with them.

The engines keep states in pieces: FSDP as tensors over several devices, ZeRO as one flat vector of each process, in
which a weight may begin on one and end on another. On disk there is one form only, that of `torch.optim`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from finesight.runtime import process_count, process_index

States = dict[str, Any]
"""What `torch.optim.Optimizer.state_dict` returns: `state` by the number of a parameter, and `param_groups`."""


def whole_fsdp_states(optimizer: torch.optim.Optimizer) -> States:
    """Return the states of an optimizer of FSDP's pieces, put together."""
    pieces = optimizer.state_dict()
    state = {
        number: {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in own.items()}
        for number, own in pieces["state"].items()
    }
    return {"state": state, "param_groups": pieces["param_groups"]}


def load_fsdp_states(optimizer: torch.optim.Optimizer, states: States) -> None:
    """Cut states into FSDP's pieces, each process taking its own."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        number: {name: _piece_like(value, parameters[number]) for name, value in own.items()}
        for number, own in states["state"].items()
    }
    optimizer.load_state_dict({"state": state, "param_groups": states["param_groups"]})


def _piece_like(value: Any, parameter: nn.Parameter) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def whole_zero_states(zero: Any, groups: Sequence[Sequence[nn.Parameter]]) -> States:
    """Return the states of DeepSpeed's `zero` optimizer, put together; `groups` are the parameters it was given."""
    from deepspeed.utils import safe_get_full_optimizer_state

    inner: torch.optim.Optimizer = zero.optimizer
    if zero_stage(zero) == 2:
        # DeepSpeed 0.19 does so itself after its very first group has stepped, when the others have no state yet.
        _link_states(zero, groups)
    one = next(iter(inner.state.values()))
    names = [name for name, value in one.items() if torch.is_tensor(value) and value.ndim]
    alone = {name: value for name, value in one.items() if name not in names}
    state: dict[int, dict[str, Any]] = {}
    written = []
    for group, parameters in zip(inner.param_groups, groups, strict=True):
        numbers = list(range(len(state), len(state) + len(parameters)))
        for number, parameter in zip(numbers, parameters, strict=True):
            whole = {name: safe_get_full_optimizer_state(parameter, name).cpu() for name in names}
            # A step is counted in place: one tensor for all weights would be counted up by each of them.
            state[number] = {name: copy_of(value) for name, value in alone.items()} | whole
        written.append({**{name: value for name, value in group.items() if name != "params"}, "params": numbers})
    return {"state": state, "param_groups": written}


def load_zero_states(zero: Any, groups: Sequence[Sequence[nn.Parameter]], states: States) -> None:
    """Give DeepSpeed's `zero` optimizer, which has not stepped yet, its pieces of the states."""
    inner: torch.optim.Optimizer = zero.optimizer
    one = next(iter(states["state"].values()))
    names = [name for name, value in one.items() if torch.is_tensor(value) and value.ndim]
    stage_3 = zero_stage(zero) == 3
    flats = zero.fp32_partitioned_groups_flat if stage_3 else zero.single_partition_of_fp32_groups
    for flat in flats:
        inner.state[flat] = {
            name: torch.zeros_like(flat, requires_grad=False) if name in names else copy_of(value)
            for name, value in one.items()
        }
    if not stage_3:
        _link_states(zero, groups)
    number = 0
    for group, written, parameters in zip(inner.param_groups, states["param_groups"], groups, strict=True):
        group.update({name: value for name, value in written.items() if name != "params"})
        for parameter in parameters:
            for name in names:
                _set_state(parameter, states["state"][number][name].float(), name, stage_3=stage_3)
            number += 1


def zero_stage(zero: Any) -> int:
    """Return which ZeRO an optimizer of DeepSpeed is."""
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3

    return 3 if isinstance(zero, DeepSpeedZeroOptimizer_Stage3) else 2


def copy_of(value: Any) -> Any:
    """Return a tensor's own copy, and whatever else it is as it is."""
    return value.clone() if torch.is_tensor(value) else value


def _link_states(zero: Any, groups: Sequence[Sequence[nn.Parameter]]) -> None:
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    for parameters, flat in zip(groups, zero.single_partition_of_fp32_groups, strict=True):
        lazy_init_hp_params_optimizer_state(parameters, flat, zero.optimizer.state)


def _set_state(parameter: Any, whole: torch.Tensor, name: str, *, stage_3: bool) -> None:
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    if not stage_3:
        safe_set_full_optimizer_state(parameter, whole, name)
        return
    # ZeRO-3 cuts a weight into as many equal pieces as there are processes, the last one padded.
    length = parameter.ds_tensor.numel()
    padded = nn.functional.pad(whole.flatten(), (0, length * process_count() - whole.numel()))
    safe_set_local_optimizer_state(parameter, padded.narrow(0, length * process_index(), length), name)
