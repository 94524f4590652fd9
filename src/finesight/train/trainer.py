"""transformers' Trainer, with as little changed as planned steps of rows with branches need."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_callback import PrinterCallback, TrainerControl

from finesight.branches.loss import learned_losses
from finesight.errors import FinesightError, Interrupted
from finesight.models.loaded import Loaded
from finesight.processes import gathered, wait_for_all
from finesight.recipe.train import Train
from finesight.rundir import RunDir
from finesight.runtime import is_first_process
from finesight.schema import PART_NAMES
from finesight.train.batches import (
    PlannedSteps,
    RowBatch,
    StepBatches,
    ToldItems,
    begin_reading_ahead,
    lost_readers_told,
)
from finesight.train.callbacks import scores_of
from finesight.train.checkpoints import STAGING_FOLDER, full_disk_told, step_of, written_whole
from finesight.train.guards import Guards, broken_weights, leave_out
from finesight.train.losses import LossSums
from finesight.train.muon import MuonWithAdamW, embeddings_of, is_muons
from finesight.train.optimizer_states import load_fsdp_states, load_zero_states, whole_fsdp_states, whole_zero_states
from finesight.train.spread import SpreadModel, is_sharded
from finesight.train.trackers import figures
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
        spread: SpreadModel | None,
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
        model = spread.twin if spread else loaded.model
        super().__init__(model, args, train_dataset=steps, eval_dataset=steps, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        # So that neither DDP nor accelerate wraps what is sharded already.
        self.is_distributed_loading_by_transformers = is_sharded(model)
        self._loaded = loaded
        self._spread = spread
        self._learning = model
        self._groups: list[list[nn.Parameter]] = []
        self._train_spec = train
        self._validate = validate
        self._run = run
        self._stage = stage
        self._steps_in_epoch = steps_in_epoch
        self._sums = LossSums()
        self._step_sums = LossSums()
        self._counts = {"tokens": 0, "examples": 0}
        self._left_out = False
        self._guards = Guards(train, loaded, run, stage, scaled=args.fp16, note=self._note_incident)
        self.add_callback(self._guards)
        self._rates: dict[str, float] = {}
        self._started = time.monotonic() - seconds_before

    # What a step is.

    def get_train_dataloader(self) -> DataLoader[StepBatches | FinesightError]:
        """Return the planned steps in their order. The plan itself deals them onto ranks."""
        return DataLoader(
            ToldItems(self.train_dataset),
            batch_size=1,
            sampler=SequentialSampler(self.train_dataset),
            collate_fn=_only_item,
            num_workers=self.args.dataloader_num_workers,
            worker_init_fn=partial(
                begin_reading_ahead, num_workers=self.args.dataloader_num_workers, rank=self.args.process_index
            ),
            pin_memory=False,
        )

    def training_step(
        self, model: nn.Module, inputs: dict[str, StepBatches | FinesightError], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the loss of one step: the sum over its learned tokens, divided by their number on all ranks.

        So it depends neither on accumulation nor on how rows are dealt.
        """
        model.train()
        step = inputs["step"]
        if isinstance(step, FinesightError):
            raise step
        # Noted now: when a line is logged, the schedule has already moved on to the next step's.
        # A part's first group is its matrices, Muon's where there is one.
        groups = reversed(self.create_optimizer().param_groups)
        self._rates = {group["part"]: group["lr"] for group in groups}
        self._step_sums, self._left_out = LossSums(), False
        if self._guards.opens(self.state.global_step + 1, step):
            return self._leave_out()
        total = torch.zeros((), device=self.args.device)
        batches = (*step.batches, *step.idle)
        for index, batch in enumerate(batches):
            # Gradients of several ranks are averaged once, with the last batch; DeepSpeed steps with it too.
            last = index == len(batches) - 1
            self.accelerator.sync_gradients = last
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                ready = batch.to(self.args.device, self._loaded.model.dtype)
                total += self._backward(model, ready, step, counts=index < len(step.batches))
        total = torch.tensor(sum(gathered(float(total))), device=self.args.device)
        if self._guards.has_loss(float(total), self._broken_weights):
            return self._leave_out()
        self._sums = self._sums.plus(self._step_sums)
        self._counts["tokens"] += sum(batch.layout.tokens for batch in step.batches)
        self._counts["examples"] += step.examples
        return total

    def _backward(self, model: nn.Module, batch: RowBatch, step: StepBatches, *, counts: bool) -> torch.Tensor:
        with self.compute_loss_context_manager():
            losses = learned_losses(model, batch.layout, batch.pixels, self._loaded.model.dtype)
        loss = losses.sum() * (counts / step.learned_tokens)
        # Gradients are averaged over ranks; the step's is their sum.
        self.accelerator.backward(loss * self.args.world_size)
        if counts:
            self._step_sums.add(losses, batch.learned)
            self._guards.saw(batch, losses)
        detached: torch.Tensor = loss.detach()
        return detached

    def get_batch_samples(self, *args: Any) -> Any:
        """Return the next step, and note how long it was waited for."""
        began = time.monotonic()
        with lost_readers_told() if self.args.dataloader_num_workers else contextlib.nullcontext():
            samples = super().get_batch_samples(*args)
        self._guards.waiting.add_wait(time.monotonic() - began)
        return samples

    # What guards are asked.

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        # DeepSpeed has none before its first step.
        if norm is not None and not self._left_out:
            whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
            if self._guards.has_gradient(float(whole)):
                # The scaler has looked at the gradients by now, and wants no other sign.
                leave_out(list(self._learning.parameters()), scaled=False)
        return norm

    def _leave_out(self) -> torch.Tensor:
        """Make the optimizer pass over this step, and return a loss that counts as nothing."""
        self._left_out = True
        learning = [parameter for parameter in self._learning.parameters() if parameter.requires_grad]
        leave_out(learning, scaled=self.args.fp16)
        return torch.zeros((), device=self.args.device)

    def _broken_weights(self) -> list[str]:
        # A spread model's weights are in pieces, and its own model has none while it learns.
        return [] if self._spread else broken_weights(self._loaded)

    def _note_incident(self, incident: Mapping[str, Any]) -> None:
        where = {**self._position("guard"), "step": self.state.global_step + 1, "seconds": self._seconds()}
        self._run.append_metrics({**where, **incident})

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
        embeddings = embeddings_of(self._learning)
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
        groups: list[dict[str, Any]] = []
        for part in PART_NAMES:
            learning = [
                parameter.parameter
                for parameter in self._loaded.parts.parameters_of(self._learning, part)
                if parameter.parameter.requires_grad
            ]
            rate = self._train_spec.learning_rate_of(part)
            for decayed in (True, False):
                # Vectors are biases and norms.
                parameters = [parameter for parameter in learning if (parameter.ndim >= 2) == decayed]
                if parameters:
                    decay = self._train_spec.weight_decay if decayed else 0.0
                    groups.append({"params": parameters, "lr": rate, "weight_decay": decay, "part": part})
        self._groups = [list(group["params"]) for group in groups]
        return groups

    # What is measured.

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the validation loss of the task being learned, and what else is watched; nothing when asked to stop.

        What is saved then lacks its validation, and the resumed run makes up for it: there may be no time to end it.
        """
        try:
            return self._validated()
        except Interrupted:
            self.control.should_save = self.control.should_training_stop = True
            return {}

    def validate_late(self, resumed: Path) -> None:
        """Make up for the validation of a checkpoint from which the run goes on."""
        if self._spread is None:
            load_trained(self._loaded, resumed)
        self.state.global_step = step_of(resumed)
        self._validated()
        # It is on the disk already: what is left of saving is to note whether it is the best.
        self.callback_handler.on_save(self.args, self.state, self.control)

    def _validated(self) -> dict[str, float]:
        sums, scores = self._validate()
        row = {**self._position("validation"), **sums.describe(), "scores": scores, "seconds": self._seconds()}
        self._tell(row)
        metrics = scores_of(row)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a line of metrics.jsonl for the steps since the last one."""
        if "loss" not in logs:
            return
        everywhere = gathered((self._sums, self._counts["tokens"], peak_memory_gib()))
        sums = reduce(LossSums.plus, (own for own, _, _ in everywhere))
        tokens = sum(own for _, own, _ in everywhere)
        row = {**self._position("train"), **sums.describe(), **self._counts, "tokens": tokens}
        row.update(learning_rate=self._rates, grad_norm=logs.get("grad_norm"))
        row.update(peak_memory_gib=round(max(own for _, _, own in everywhere), 3), seconds=self._seconds())
        self._tell(row)
        self._sums = LossSums()
        self._counts = {"tokens": 0, "examples": 0}

    def _tell(self, row: dict[str, Any]) -> None:
        """Write a line of metrics.jsonl, and give it to what listens."""
        self._run.append_metrics(row)
        self.callback_handler.on_log(self.args, self.state, self.control, figures(row))

    def _position(self, kind: str) -> dict[str, Any]:
        step, epoch = self.state.global_step, round(self.state.global_step / self._steps_in_epoch, 3)
        return {
            "kind": kind, "stage": self._stage, "step": step, "planned_steps": self.args.max_steps, "epoch": epoch,
        }  # fmt: skip

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 2)

    # What a checkpoint holds, and where it is written.

    def _get_output_dir(self, trial: Any) -> str:
        return str(Path(self.args.output_dir) / STAGING_FOLDER)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, whole or not at all: a full disk and a killed process leave none by half.

        Every process writes its random state; the first moves the whole to its place when all have.
        """
        folder, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        self._run.bring_metrics_to_disk()  # a checkpoint whose steps are in no line could not be gone on from
        with written_whole(folder, name) if is_first_process() else full_disk_told(folder / name):
            super()._save_checkpoint(model, trial)
            wait_for_all()
        wait_for_all()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write adapters and full parts: peft's own checkpoint would leave out the full parts without a word."""
        with self._spread.whole(torch.device("cpu")) if self._spread else contextlib.nullcontext():
            if is_first_process():
                save_trained(self._loaded, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        # A spread model was made of weights that were read before.
        if self._spread is None:
            load_trained(self._loaded, Path(resume_from_checkpoint))

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: DataLoader[StepBatches], resume_from_checkpoint: str | None
    ) -> tuple[nn.Module, DataLoader[StepBatches]]:
        # Trainer would look for DeepSpeed's own form of a checkpoint. There is but one form here.
        prepared: tuple[nn.Module, DataLoader[StepBatches]] = super()._prepare_for_training(
            max_steps, train_dataloader, None
        )
        if self._spread:
            self._spread.taken_apart()
        self._load_optimizer_and_scheduler(resume_from_checkpoint)
        self._load_scaler(resume_from_checkpoint)
        return prepared

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Write optimizer and schedule as one process does, whatever engine has them in pieces."""
        if self._spread is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        if self.is_deepspeed_enabled:
            states = whole_zero_states(self._inner_optimizer, self._groups)
        else:
            states = whole_fsdp_states(self._inner_optimizer)
        if is_first_process():
            torch.save(states, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self._spread is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        states, schedule = (
            torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
            for name in (OPTIMIZER_NAME, SCHEDULER_NAME)
        )
        if self.is_deepspeed_enabled:
            load_zero_states(self._inner_optimizer, self._groups, states)
        else:
            load_fsdp_states(self._inner_optimizer, states)
        self.lr_scheduler.load_state_dict(schedule)

    @property
    def _inner_optimizer(self) -> Any:
        """The optimizer below accelerate's wrapper."""
        assert isinstance(self.optimizer, AcceleratedOptimizer)
        return self.optimizer.optimizer


def peak_memory_gib() -> float:
    """Return the most memory held so far: the GPU's where there is one, else the process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def _only_item(items: list[StepBatches | FinesightError]) -> dict[str, StepBatches | FinesightError]:
    return {"step": items[0]}
