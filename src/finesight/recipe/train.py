"""The `train:` section. Field names are `TrainingArguments`', but for those that speak of examples and contexts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from finesight.recipe.base import Spec
from finesight.schema import PartName

Schedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
"""transformers' schedules that need no settings of their own."""
Tracker = Literal["tensorboard", "wandb", "mlflow"]
"""Where figures are sent, by transformers' names: TensorBoard, Weights & Biases, MLflow."""
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd", "muon"]
"""transformers' optimizers that need no settings of their own, and torch's Muon; the 8-bit ones need bitsandbytes."""


TRANSFORMERS_NAMES = {
    "metric_for_best_model": "it is early_stopping.metric here",
    "load_best_model_at_end": "that is always so: the best checkpoint by early_stopping.metric, or by the validation "
    "loss without it, is the result",
    "greater_is_better": "the metric knows: of eval_loss less is better, of any other more",
    "per_device_train_batch_size": "give global_batch_size; the batch of a device follows from --max-tokens-per-device",
    "gradient_accumulation_steps": "give global_batch_size; the accumulation follows from --max-tokens-per-device",
    "per_device_eval_batch_size": "the batch follows from --max-tokens-per-device",
    "output_dir": "it is --output of the command",
    "eval_strategy": "give eval_steps",
    "save_strategy": "give save_steps",
    "early_stopping_patience": "it is early_stopping.patience_steps here, in optimizer steps",
    "early_stopping_threshold": "it is early_stopping.min_delta here",
}
"""What stands in the place of `TrainingArguments`' names that the section does not have."""


class LearningRates(Spec):
    """A learning rate for each part that learns."""

    vision: float | None = Field(default=None, gt=0, lt=1)
    """The vision encoder's."""
    projector: float | None = Field(default=None, gt=0, lt=1)
    """The projector's."""
    language: float | None = Field(default=None, gt=0, lt=1)
    """The language model's."""


class EarlyStopping(Spec):
    """Stop when the validation metric has not improved for a number of optimizer steps."""

    patience_steps: int = Field(gt=0)
    """Optimizer steps without improvement, however often it is evaluated."""
    min_delta: float = Field(default=0.0, ge=0)
    """Improvements smaller than this do not count."""
    metric: str = "eval_loss"
    """`eval_loss`, or `eval_` and the name of a task drawn `from: validation`."""

    def told(self, step: int, planned: int) -> str:
        """Return that, where and why a training of so many planned steps was stopped."""
        least = f" of more than {self.min_delta:g}" if self.min_delta else ""
        return (
            f"stopped early at step {step:,} of {planned:,}: no improvement of {self.metric}{least} in "
            f"{self.patience_steps:,} steps"
        )


class Guards(Spec):
    """What becomes of a step that goes wrong. Its batch is kept in the run folder either way."""

    on_bad_loss: Literal["stop", "skip"] = "stop"
    """A loss or a gradient that is no number, a loss of exactly 0, or no learned token: stop, or leave the step out."""
    max_skips: int = Field(default=3, ge=0)
    """Steps of a stage that may be left out; one more stops the training."""
    on_spike: Literal["note", "skip", "stop"] = "note"
    """A gradient far larger than those before it: note it, leave the step out, or stop."""
    spike_factor: float = Field(default=10.0, gt=1)
    """So many times the median norm of the last 50 gradients is a spike. The first 10 steps are not judged: too little
    is known of what is usual."""


class Train(Spec):
    """How long, how fast, how much at once."""

    num_train_epochs: float = Field(default=1.0, gt=0)
    """How often every example is seen."""
    max_steps: int | None = Field(default=None, gt=0)
    """Optimizer steps, instead of epochs."""
    global_batch_size: int = Field(default=16, gt=0)
    """Examples in an optimizer step, whatever the machine."""
    max_branches_per_context: int = Field(default=8, gt=0)
    """At most so many questions about one image in a step, so that a step is not one image."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | LearningRates = 1e-5
    """Peak learning rate: one, or one for each part."""
    lr_scheduler_type: Schedule = "cosine"
    """How the learning rate falls, by transformers' names."""
    warmup_steps: float = Field(default=0.0, ge=0)
    """Steps over which the learning rate rises; below 1, that share of all steps."""
    optim: Optimizer = "adamw_torch"
    """The optimizer, by transformers' names; `muon`: Muon for matrices, AdamW for everything else."""
    adamw_learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """With `muon`: the peak rate of what is no matrix, whatever its part. Default: the part's own."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of the matrices that learn; biases and norms have none."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's first moment."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """AdamW's second moment."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """AdamW's epsilon."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third more time."""
    bf16: bool = False
    """Compute in bfloat16 over float32 weights (autocast)."""
    fp16: bool = False
    """Compute in float16 over float32 weights (autocast, with a gradient scaler)."""
    logging_steps: int = Field(default=10, gt=0)
    """Steps between lines of metrics.jsonl."""
    eval_steps: int | None = Field(default=None, gt=0)
    """Steps between validations. Default: ten in a run."""
    save_steps: int | None = Field(default=None, gt=0)
    """Steps between checkpoints, beside the best one. Default: at every validation."""
    save_total_limit: int = Field(default=2, gt=0)
    """Checkpoints kept; the best one is never deleted."""
    early_stopping: EarlyStopping | None = None
    """Stop early. Default: train to the end, and keep the checkpoint with the lowest validation loss."""
    guards: Guards = Guards()
    """What is done about steps that go wrong."""
    dataloader_num_workers: int = Field(default=0, ge=0)
    """Processes that decode images ahead of the training."""

    full_determinism: bool = False
    """Only algorithms that give the same bits each time, in the whole run. On a GPU that is slower: its kernels run one
    at a time. A CPU gives the same bits without it."""
    report_to: tuple[Tracker, ...] = ()
    """Trackers that are told the recipe and the figures of metrics.jsonl, never the data; `finesight[track]`."""

    @model_validator(mode="after")
    def _two_rates_are_muons(self) -> Train:
        if self.adamw_learning_rate is not None and self.optim != "muon":
            raise ValueError("adamw_learning_rate belongs to optim: muon, which steps by two optimizers")
        return self

    @model_validator(mode="after")
    def _one_precision(self) -> Train:
        if self.bf16 and self.fp16:
            raise ValueError("bf16 and fp16 exclude each other")
        return self

    def learning_rate_of(self, part: PartName) -> float | None:
        """Return the learning rate of `part`, or None where the recipe gives none."""
        match self.learning_rate:
            case LearningRates() as rates:
                return {"vision": rates.vision, "projector": rates.projector, "language": rates.language}[part]
            case rate:
                return rate
