"""A model made ready for a stage, and afterwards exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.tune.peft_quiet import without_renaming_warning
from finesight.tune.prepare import prepare_and_audit
from finesight.tune.weights import take_off_adapters


@contextmanager
def on_trial(loaded: Loaded, stage: Stage, *, is_first: bool = True) -> Iterator[dict[str, Any]]:
    """Prepare `loaded` for a stage in place, give the audited parameter table, and take it all back at the end.

    New adapters are taken off, gradients dropped, and what may learn, the mode and the noted parts are as before.
    Weights that the block changes are the block's to put back. Adapters of an earlier run come back with what they
    held; a stage that is not the first would merge them, and is tried on the weights beneath them.
    """
    learned = {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    training, changed = loaded.model.training, set(loaded.changed_parts)
    earlier = _Adapters.of(loaded.model) if isinstance(loaded.model, PeftModel) else None
    if not is_first:
        take_off_adapters(loaded)
        loaded.trains_on = False
    try:
        yield prepare_and_audit(loaded, stage.tune, stage.train)
    finally:
        take_off_adapters(loaded)
        if earlier is not None:
            loaded.model = earlier.put_on(loaded.model).to(loaded.device)
            loaded.trains_on = True
        for name, parameter in loaded.model.named_parameters():
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(name in learned)
        loaded.model.train(training)
        loaded.changed_parts.clear()
        loaded.changed_parts.update(changed)


@dataclass(frozen=True)
class _Adapters:
    """Copies of the adapters that a model came with, by their names."""

    configs: dict[str, PeftConfig]
    tensors: dict[str, dict[str, torch.Tensor]]

    @classmethod
    def of(cls, model: PeftModel) -> _Adapters:
        tensors = {
            name: {key: tensor.clone() for key, tensor in get_peft_model_state_dict(model, adapter_name=name).items()}
            for name in model.peft_config
        }
        return cls(dict(model.peft_config), tensors)

    def put_on(self, bare: torch.nn.Module) -> PeftModel:
        """Return `bare` with adapters as they were."""
        model: Any = bare
        with without_renaming_warning():
            for name, config in self.configs.items():
                if isinstance(model, PeftModel):
                    model.add_adapter(name, config)
                else:
                    model = get_peft_model(model, config, adapter_name=name)
        for name, tensors in self.tensors.items():
            set_peft_model_state_dict(model, tensors, adapter_name=name)
        model.base_model.set_adapter(list(self.configs))
        return model
