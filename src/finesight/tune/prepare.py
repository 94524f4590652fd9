"""Make each part of a model frozen, adapted or fully trained, as the recipe says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from torch import nn
from transformers import PreTrainedModel

from finesight.errors import UserError
from finesight.models.loaded import Loaded
from finesight.models.parts import PartMap, bare_name, bare_parameters, is_quantized
from finesight.models.reach import reachable_parameters
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.recipe.tune import Lora, Tune
from finesight.schema import PART_NAMES, PartName
from finesight.tune.audit import audit_parameters, require_sound
from finesight.tune.peft_quiet import without_renaming_warning
from finesight.tune.weights import take_off_adapters


def prepare_model(loaded: Loaded, tune: Tune, train: Train) -> dict[str, Any]:
    """Make every part of `loaded` frozen, adapted or fully trained, in place, and return the audited parameter table.

    Raises `CheckFailed` when what learns is not what the recipe asked for.
    """
    table = prepare_and_audit(loaded, tune, train)
    require_sound(table)
    return table


def prepare_and_audit(loaded: Loaded, tune: Tune, train: Train) -> dict[str, Any]:
    """Do the same, and return the table with its refusals whether or not there are any."""
    twin = loaded.meta_twin()
    described = frozenset(name for name, _ in twin.named_parameters())
    reachable = reachable_parameters(twin)
    set_trainable(loaded, tune, reachable)
    return audit_parameters(loaded.model, loaded.parts, reachable, described, tune, train)


def describe_parameters(model: PreTrainedModel, parts: PartMap, stage: Stage) -> dict[str, Any]:
    """Return the parameter table that `stage` gives a model without weights (on the meta device)."""
    described = frozenset(name for name, _ in model.named_parameters())
    reachable = reachable_parameters(model)
    model.requires_grad_(False)
    adapted = adapt(model, parts, stage.tune, reachable, empty=True)
    open_full_parts(adapted, parts, stage.tune, reachable)
    return audit_parameters(adapted, parts, reachable, described, stage.tune, stage.train)


def set_trainable(loaded: Loaded, tune: Tune, reachable: frozenset[str]) -> None:
    """Freeze, adapt or open every part of `loaded` in place.

    Adapters of an earlier stage are merged into the weights first; those of an earlier run that are trained on give
    the new ones their weights instead. One adapter is made for each part and named after it; its layers are named in
    full, so it cannot land in another part. Parameters that no gradient can reach get neither adapters nor gradients.
    """
    begun = take_over_adapters(loaded) if loaded.trains_on else {}
    merge_adapters(loaded)
    loaded.model.requires_grad_(False)
    loaded.model = adapt(loaded.model, loaded.parts, tune, reachable)
    hand_over_adapters(loaded, begun)
    open_full_parts(loaded.model, loaded.parts, tune, reachable)
    loaded.changed_parts.update(part for part in PART_NAMES if tune.of(part) == "full")


def take_over_adapters(loaded: Loaded) -> dict[str, dict[str, torch.Tensor]]:
    """Take the model's adapters off, once, and return their tensors by part and name."""
    assert isinstance(loaded.model, PeftModel), "an earlier run's adapters are trained on"
    loaded.trains_on = False
    begun = {part: get_peft_model_state_dict(loaded.model, adapter_name=part) for part in loaded.model.peft_config}
    take_off_adapters(loaded)
    return begun


def hand_over_adapters(loaded: Loaded, begun: dict[str, dict[str, torch.Tensor]]) -> None:
    """Give new adapters the tensors of earlier ones. Raises `UserError` where they are not on the same layers."""
    for part, tensors in begun.items():
        new = get_peft_model_state_dict(loaded.model, adapter_name=part)
        if {name: tensor.shape for name, tensor in new.items()} != {n: tensor.shape for n, tensor in tensors.items()}:
            raise UserError(
                f"tune.{part}: {len(new)} adapter tensors, and the earlier run's adapter has {len(tensors)} or others",
                hint=f"tune {part} as the earlier run did, or set model.continue_from.adapters: merge",
            )
        set_peft_model_state_dict(loaded.model, tensors, adapter_name=part)


def open_full_parts(model: nn.Module, parts: PartMap, tune: Tune, reachable: frozenset[str]) -> None:
    """Let the parts learn that are tuned in full, as far as a gradient reaches them."""
    for part in PART_NAMES:
        if tune.of(part) == "full":
            for parameter in parts.parameters_of(model, part):
                if not parameter.is_adapter and parameter.name in reachable:
                    _require_trainable(parameter.parameter, parameter.name)
                    parameter.parameter.requires_grad_(True)


def adapt(model: nn.Module, parts: PartMap, tune: Tune, reachable: frozenset[str], *, empty: bool = False) -> nn.Module:
    """Return `model` with the recipe's adapters; `empty` leaves their weights on the meta device."""
    names = []
    for part in PART_NAMES:
        spec = tune.of(part)
        if isinstance(spec, Lora):
            config = LoraConfig(
                r=spec.r,
                lora_alpha=spec.lora_alpha,
                lora_dropout=spec.lora_dropout,
                use_rslora=spec.use_rslora,
                use_dora=spec.use_dora,
                bias="none",
                target_modules=find_targets(model, parts, part, spec, reachable),
            )
            if isinstance(model, PeftModel):
                with without_renaming_warning():
                    model.add_adapter(part, config, low_cpu_mem_usage=empty)
            else:
                with without_renaming_warning():
                    model = get_peft_model(model, config, adapter_name=part, low_cpu_mem_usage=empty)
            names.append(part)
    if isinstance(model, PeftModel):
        model.base_model.set_adapter(names)
    return model


def find_targets(model: nn.Module, parts: PartMap, part: PartName, spec: Lora, reachable: frozenset[str]) -> list[str]:
    """Return the full names of the linear layers of `part` that get an adapter.

    Raises `UserError` when a name in the recipe fits no layer of the part, or no gradient reaches any of the layers.
    """
    linear = {name: weight for name, weight in _linear_layers(model) if parts.part_of(name) == part}
    heads = {name for name in linear if name.rsplit(".", 1)[-1] == "lm_head"}
    if spec.target_modules == "all-linear":
        chosen = set(linear) - heads
    else:
        chosen = {name for name in linear if name.rsplit(".", 1)[-1] in spec.target_modules}
        found = {name.rsplit(".", 1)[-1] for name in chosen}
        if unknown := [name for name in spec.target_modules if name not in found]:
            there = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise UserError(
                f"tune.{part}.target_modules: no linear layer of this part is called {', '.join(unknown)}",
                hint=f"this part has {', '.join(there)}",
            )
    targets = sorted(name for name in chosen if f"{name}.weight" in reachable)
    if not targets:
        raise UserError(
            f"tune.{part}: no gradient reaches any of the layers that lora would adapt",
            hint="name others in target_modules, or keep the part frozen",
        )
    return targets


def merge_adapters(loaded: Loaded) -> None:
    """Merge adapters into the weights they sit on, so that a further stage builds on them.

    Raises `UserError` for quantised weights: what is merged would be rounded to 4 or 8 bits, and much of it lost.
    """
    if isinstance(loaded.model, PeftModel):
        if any(is_quantized(parameter) for parameter in loaded.model.parameters()):
            raise UserError(
                "adapters cannot be merged into quantised weights without losing what they learned",
                hint="tune in one stage, or set model.quantization: none",
            )
        for parameter in bare_parameters(loaded.model):
            part = loaded.parts.part_of(parameter.name)
            if parameter.is_adapter and part is not None:
                loaded.changed_parts.add(part)
        loaded.model = loaded.model.merge_and_unload()


def _linear_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield linear layers by bare name, also those that already carry another part's adapter."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ".lora_" not in name:
            yield bare_name(f"{name}.weight").removesuffix(".weight"), module


def _require_trainable(parameter: nn.Parameter, name: str) -> None:
    if is_quantized(parameter):
        raise UserError(
            f"{name} is quantised and cannot be trained in full",
            hint="tune this part by lora, or set model.quantization: none",
        )
