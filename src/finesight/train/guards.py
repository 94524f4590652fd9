"""What watches every step of a training: it notes, leaves the step out or ends the training, and keeps the batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from finesight.errors import FinesightError
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.processes import gathered, wait_for_all
from finesight.recipe.train import Train
from finesight.rundir import RunDir
from finesight.runtime import is_first_process, say
from finesight.train.bad_batches import describe_branches, write_batch
from finesight.train.batches import RowBatch, StepBatches
from finesight.train.checks.formats import spoken
from finesight.train.checks.trial_step import computing_format
from finesight.train.incidents import (
    MOST_OVERFLOWS,
    ODD_SHARE,
    Action,
    Incident,
    Usual,
    Waiting,
    causes_of_bad_loss,
    is_bad_loss,
)

GUARDS_FOLDER = "guards"
MOST_BATCHES = 10
"""Batches of a stage that are kept; what happened is noted each time."""
_LEFT_OUT_BY = {
    "loss": ", or train.guards.on_bad_loss: skip",
    "gradient": ", or train.guards.on_bad_loss: skip",
    "no learned token": ", or train.guards.on_bad_loss: skip",
    "gradient spike": ", or train.guards.on_spike: note or skip",
}
"""What goes past a step that stopped the training, by the incident's name."""
Note = Callable[[Mapping[str, Any]], None]
"""Writes a line of metrics.jsonl; the trainer adds where and when."""


class Guards(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Judges each step of a stage before the optimizer takes it.

    What it has seen is part of a checkpoint, so a resumed run judges as an uninterrupted one does. Every process asks
    it the same with the same figures, and gets the same answer.
    """

    def __init__(self, train: Train, loaded: Loaded, run: RunDir, stage: str, *, scaled: bool, note: Note):
        self._settings = train.guards
        self._computing = spoken(computing_format(loaded, train))
        self._loaded = loaded
        self._run = run
        self._stage = stage
        self._scaled = scaled
        self._note = note
        self._losses, self._shares, self._norms = Usual(), Usual(), Usual()
        self._skips = self._overflows = self._kept = 0
        self._noted: list[str] = []
        self.waiting = Waiting()
        self._began = 0.0
        self._number = 0
        self._seen: list[tuple[RowBatch, torch.Tensor]] = []
        self._step: StepBatches | None = None

    # What the trainer asks, in the order of a step. True: leave the step out.

    def opens(self, number: int, step: StepBatches) -> bool:
        """Look at a step before it is computed; steps count from 1."""
        self._number, self._step, self._seen = number, step, []
        if not step.learned_tokens:
            return self._handle(
                Incident(
                    "no learned token",
                    self._settings.on_bad_loss,
                    "none of the step's tokens is learned, so its loss is no number",
                    ("rows whose answer is empty, or that the chat template does not show: `finesight look`",),
                )
            )
        share = step.learned_tokens / step.tokens
        times = self._shares.times(share)
        self._shares.add(share)
        if not 1 / ODD_SHARE <= times <= ODD_SHARE:
            self._handle(
                Incident(
                    "share of learned tokens",
                    "note",
                    f"{100 * share:.2g} % of the step's tokens are learned, {times:.2g} times the usual share",
                    ("rows of another kind than the others: is the question learned too, or most of an answer not?",),
                )
            )
        if self.waiting.starves() and "waiting for data" not in self._noted:
            self._handle(self.waiting.describe())
        return False

    def saw(self, batch: RowBatch, losses: torch.Tensor) -> None:
        """Remember a batch of the step and the losses of its learned tokens: float[learned]."""
        self._seen.append((replace(batch, pixels=None), losses.detach()))  # pixels would stay in a GPU's memory

    def has_loss(self, loss: float, broken: Callable[[], list[str]]) -> bool:
        """Look at the loss of the whole step; `broken` names the weights that are no numbers."""
        if not is_bad_loss(loss, self._losses):
            self._losses.add(loss)
            return False
        branches = self._describe_branches()
        causes = causes_of_bad_loss(
            loss, branches, broken=broken(), computing=self._computing, attention=attention_of(self._loaded)
        )
        return self._handle(Incident("loss", self._settings.on_bad_loss, f"the loss is {loss}", causes), branches)

    def has_gradient(self, norm: float) -> bool:
        """Look at the norm of the gradient, before it is cut to `max_grad_norm`."""
        if not math.isfinite(norm):
            return self._handle_overflow(norm)
        self._overflows = 0
        times = self._norms.times(norm)
        self._norms.add(norm)
        if times <= self._settings.spike_factor:
            return False
        message = f"the gradient's norm is {norm:.3g}, {times:.3g} times the usual"
        causes = (
            "questions unlike the others, or wrong answers: look at the batch",
            "a learning rate that is too high: lower it, or give train.warmup_steps",
        )
        return self._handle(Incident("gradient spike", self._settings.on_spike, message, causes))

    def _handle_overflow(self, norm: float) -> bool:
        # The scaler of float16 finds its scale by such steps, and leaves them out itself.
        self._overflows += 1
        if self._scaled and self._overflows <= MOST_OVERFLOWS:
            return False
        times = f" for the {self._overflows}th step in a row, at ever smaller scales" if self._scaled else ""
        causes = (
            "the learning rate: lower it",
            "an operation without a gradient at that place, as a root or a division of zero: look at the batch",
        )
        bad = Incident(
            "gradient",
            "stop" if self._scaled else self._settings.on_bad_loss,
            f"the loss is a number, but the norm of its gradient is {norm}{times}",
            ("float16 is too small for this model: train.bf16 instead of train.fp16", *causes)
            if self._scaled
            else causes,
        )
        return self._handle(bad)

    # What follows from it.

    def _handle(self, incident: Incident, branches: list[dict[str, Any]] | None = None) -> bool:
        """Write down what happened, and return whether the step is left out. Raises `FinesightError` to stop."""
        action = self._decide(incident)
        row: dict[str, Any] = {
            "what": incident.what,
            "action": action,
            "message": incident.message,
            "causes": list(incident.causes),
        }
        if incident.keeps_batch and self._keeps_more:
            row["batch"] = self._keep(row, branches if branches is not None else self._describe_branches())
        self._note(row)
        where = f"; the batch is in {self._run.path / row['batch']}" if "batch" in row else ""
        told = f"{incident.message} at step {self._number} of stage {self._stage}"
        if action == "stop":
            wait_for_all()  # a launcher ends all processes when one has ended: not before it is written down
            raise FinesightError(f"{told}{where}", hint=self._hint(incident))
        if action == "skip" or incident.what not in self._noted:
            say(f"{'left out' if action == 'skip' else 'note'}: {told}{where}")
        self._noted = list(dict.fromkeys([*self._noted, incident.what]))
        return action == "skip"

    def _decide(self, incident: Incident) -> Action:
        if incident.action != "skip":
            return incident.action
        self._skips += 1
        return "skip" if self._skips <= self._settings.max_skips else "stop"

    def _hint(self, incident: Incident) -> str:
        """Return the likely causes and what helps: resuming meets the same batch with the same weights."""
        likely = f"likely: {' — or '.join(incident.causes)}"
        over = "resuming meets the same batch again: begin another run, with that mended"
        if incident.action == "skip":
            return f"{self._settings.max_skips} steps were left out before (train.guards.max_skips); {likely}; {over}"
        ends_anyway = self._scaled and incident.what == "gradient"
        return f"{likely}; {over}{'' if ends_anyway else _LEFT_OUT_BY.get(incident.what, '')}"

    def _keep(self, row: Mapping[str, Any], branches: list[dict[str, Any]]) -> str:
        """Write the step's batch, of all processes, and return its folder's place in the run folder."""
        self._kept += 1
        everywhere = [branch for own in gathered(branches) for branch in own]
        if is_first_process():
            write_batch(self._folder, {"stage": self._stage, "step": self._number, **row}, everywhere)
        return self._folder.relative_to(self._run.path).as_posix()

    def _describe_branches(self) -> list[dict[str, Any]]:
        """Return the questions of this process's share of the step; thumbnails are made where they are to be kept."""
        assert self._step is not None, "a step is opened before it is judged"
        computed: list[tuple[RowBatch, torch.Tensor | None]] = [*self._seen]
        formatter, folder = self._loaded.formatter, self._folder if self._keeps_more else None
        return [
            branch
            for batch, losses in computed or [(batch, None) for batch in self._step.batches]
            for branch in describe_branches(batch, losses, formatter, folder=folder)
        ]

    @property
    def _keeps_more(self) -> bool:
        return self._kept < MOST_BATCHES

    @property
    def _folder(self) -> Path:
        return self._run.path / GUARDS_FOLDER / f"{self._stage}-step-{self._number}"

    # What a checkpoint keeps of it.

    def state(self) -> dict[str, Any]:
        """Return what trainer_state.json holds of the guards."""
        windows = {
            "losses": list(self._losses.values),
            "shares": list(self._shares.values),
            "norms": list(self._norms.values),
        }
        counts = {"skips": self._skips, "overflows": self._overflows, "kept": self._kept, "noted": self._noted}
        return {"args": {}, "attributes": {**windows, **counts}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up what the checkpoint holds that the run goes on from."""
        stored = state.stateful_callbacks[type(self).__name__]["attributes"]
        self._losses.values.extend(stored["losses"])
        self._shares.values.extend(stored["shares"])
        self._norms.values.extend(stored["norms"])
        self._skips, self._overflows = stored["skips"], stored["overflows"]
        self._kept, self._noted = stored["kept"], list(stored["noted"])

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note when the step's data were there."""
        self._began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Note how long was computed."""
        self.waiting.add_step(time.monotonic() - self._began)


def attention_of(loaded: Loaded) -> str:
    """Return by which implementation the language model attends, as `sdpa` or `eager`."""
    return str(loaded.model.config.get_text_config()._attn_implementation)


def broken_weights(loaded: Loaded) -> list[str]:
    """Return the names of the weights that learn and hold something that is no number."""
    return [
        each.name
        for each in bare_parameters(loaded.model)
        if each.parameter.requires_grad and not bool(each.parameter.isfinite().all())
    ]


def leave_out(parameters: list[torch.nn.Parameter], *, scaled: bool) -> None:
    """Make the optimizer pass over a step: without gradients it moves nothing, by momentum and decay neither.

    With the scaler of float16, which wants to see one, a gradient that is no number says the same.
    """
    for parameter in parameters:
        parameter.grad = None
    if scaled:
        parameters[0].grad = torch.full_like(parameters[0], torch.nan)
