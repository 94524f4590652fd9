"""transformers' Trainer, with as little changed as planned steps of rows with branches need."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, TrainerControl

from finesight.branches.loss import learned_losses
from finesight.errors import FinesightError
from finesight.models.loaded import Loaded
from finesight.recipe.train import Train
from finesight.rundir import RunDir
from finesight.schema import PART_NAMES
from finesight.train.batches import PlannedSteps, RowBatch, StepBatches
from finesight.train.callbacks import scores_of
from finesight.train.checkpoints import STAGING_FOLDER, written_whole
from finesight.train.losses import LossSums
from finesight.train.muon import MuonWithAdamW, embeddings_of, is_muons
from finesight.tune.weights import load_trained, save_trained

Validate = Callable[[], tuple[LossSums, dict[str, float]]]
"""Gives the validation losses, and scores of the tasks that are watched."""


class BranchTrainer(Trainer):  # type: ignore[misc]
    """Takes planned steps: an item of the data set is one optimizer step of one rank, as batches of rows.

    Changed are: what a step is, how its loss is divided, the parameter groups, what a validation is, and what a
    checkpoint holds. `compute_loss` is left alone: overriding it halves gradients on two processes.
    """

    optimizer: torch.optim.Optimizer | None
    control: TrainerControl

    def __init__(
        self,
        loaded: Loaded,
        args: TrainingArguments,
        steps: PlannedSteps,
        *,
        train: Train,
        validate: Validate,
        run: RunDir,
        stage: str,
        steps_in_epoch: float,
        seconds_before: float,
        callbacks: list[Any],
    ) -> None:
        # Trainer wants an eval_dataset to evaluate at all; `evaluate` below knows its own.
        super().__init__(loaded.model, args, train_dataset=steps, eval_dataset=steps, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self._loaded = loaded
        self._train_spec = train
        self._validate = validate
        self._run = run
        self._stage = stage
        self._steps_in_epoch = steps_in_epoch
        self._sums = LossSums()
        self._counts = {"tokens": 0, "examples": 0}
        self._rates: dict[str, float] = {}
        self._started = time.monotonic() - seconds_before

    # What a step is.

    def get_train_dataloader(self) -> DataLoader[StepBatches]:
        """Return the planned steps in their order. The plan itself deals them onto ranks."""
        return DataLoader(
            self.train_dataset,
            batch_size=1,
            sampler=SequentialSampler(self.train_dataset),
            collate_fn=_only_item,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=False,
        )

    def training_step(
        self, model: nn.Module, inputs: dict[str, StepBatches], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the loss of one step: the sum over its learned tokens, divided by their number on all ranks.

        So it depends neither on accumulation nor on how rows are dealt.
        """
        model.train()
        step = inputs["step"]
        # Noted now: when a line is logged, the schedule has already moved on to the next step's.
        # A part's first group is its matrices, Muon's where there is one.
        groups = reversed(self.create_optimizer().param_groups)
        self._rates = {group["part"]: group["lr"] for group in groups}
        total = torch.zeros((), device=self.args.device)
        for index, batch in enumerate(step.batches):
            # Gradients of several ranks are averaged once, with the last batch.
            last = index == len(step.batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                total += self._backward(model, batch.to(self.args.device, self._loaded.model.dtype), step)
        if not math.isfinite(float(total)):
            raise FinesightError(
                f"the loss is {float(total)} at step {self.state.global_step + 1}; training stops before it spoils the "
                "weights",
                hint="lower the learning rate, or compute in float32 or bfloat16 instead of float16",
            )
        self._counts["examples"] += step.examples
        return total

    def _backward(self, model: nn.Module, batch: RowBatch, step: StepBatches) -> torch.Tensor:
        with self.compute_loss_context_manager():
            losses = learned_losses(model, batch.layout, batch.pixels, self._loaded.model.dtype)
        # DDP averages gradients over ranks; the step's loss is their sum.
        loss = losses.sum() * (step.weight / step.learned_tokens) * self.args.world_size
        self.accelerator.backward(loss)
        if step.weight:
            self._sums.add(losses, batch.learned)
            self._counts["tokens"] += batch.layout.tokens
        detached: torch.Tensor = loss.detach()
        return detached

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the estimate knows nothing of rows with branches."""
        return 0

    # What learns, and how fast.

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer with a group for each part that learns, with and without weight decay."""
        if self.optimizer is None and self._train_spec.optim == "muon":
            self.optimizer = self._create_muon()
        if self.optimizer is None:
            optimizer_class, arguments = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            self.optimizer = optimizer_class(self._parameter_groups(), **arguments)
        assert self.optimizer is not None
        return self.optimizer

    def _create_muon(self) -> MuonWithAdamW:
        embeddings = embeddings_of(self._loaded.model)
        matrices, others = [], []
        for group in self._parameter_groups():
            muons = [parameter for parameter in group["params"] if is_muons(parameter, embeddings)]
            rest = [parameter for parameter in group["params"] if not is_muons(parameter, embeddings)]
            if muons:
                matrices.append({**group, "params": muons})
            if rest:
                others.append({**group, "params": rest, "lr": self._train_spec.adamw_learning_rate or group["lr"]})
        betas = (self._train_spec.adam_beta1, self._train_spec.adam_beta2)
        return MuonWithAdamW(matrices, others, betas=betas, eps=self._train_spec.adam_epsilon)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        groups = []
        for part in PART_NAMES:
            learning = [
                parameter.parameter
                for parameter in self._loaded.parts.parameters_of(self._loaded.model, part)
                if parameter.parameter.requires_grad
            ]
            rate = self._train_spec.learning_rate_of(part)
            for decayed in (True, False):
                # Vectors are biases and norms.
                parameters = [parameter for parameter in learning if (parameter.ndim >= 2) == decayed]
                if parameters:
                    decay = self._train_spec.weight_decay if decayed else 0.0
                    groups.append({"params": parameters, "lr": rate, "weight_decay": decay, "part": part})
        return groups

    # What is measured.

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the validation loss of the task being learned, and what else is watched."""
        sums, scores = self._validate()
        row = {**self._position("validation"), **sums.describe(), "scores": scores, "seconds": self._seconds()}
        self._run.append_metrics(row)
        metrics = scores_of(row)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a line of metrics.jsonl for the steps since the last one."""
        if "loss" not in logs:
            return
        row = {**self._position("train"), **self._sums.describe(), **self._counts}
        row.update(learning_rate=self._rates, grad_norm=logs.get("grad_norm"))
        row.update(peak_memory_gib=round(peak_memory_gib(), 3), seconds=self._seconds())
        self._run.append_metrics(row)
        self._sums = LossSums()
        self._counts = {"tokens": 0, "examples": 0}

    def _position(self, kind: str) -> dict[str, Any]:
        step = self.state.global_step
        return {"kind": kind, "stage": self._stage, "step": step, "epoch": round(step / self._steps_in_epoch, 3)}

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 2)

    # What a checkpoint holds, and where it is written.

    def _get_output_dir(self, trial: Any) -> str:
        return str(Path(self.args.output_dir) / STAGING_FOLDER)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, whole or not at all: a full disk and a killed process leave none by half."""
        with written_whole(Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"):
            super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write adapters and full parts: peft's own checkpoint would leave out the full parts without a word."""
        save_trained(self._loaded, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_trained(self._loaded, Path(resume_from_checkpoint))


def peak_memory_gib() -> float:
    """Return the most memory held so far: the GPU's where there is one, else the process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def _only_item(items: list[StepBatches]) -> dict[str, StepBatches]:
    return {"step": items[0]}
