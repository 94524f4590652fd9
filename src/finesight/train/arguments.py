"""The recipe's `train:` section as transformers' `TrainingArguments`."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from finesight.recipe.train import Train
from finesight.runtime import Engine
from finesight.train.engines import engine_arguments

VALIDATIONS = 10
"""In a run, where the recipe does not say."""


def validation_interval(train: Train, steps: int) -> int:
    """Return the steps between validations, in a run of so many."""
    return train.eval_steps or math.ceil(steps / VALIDATIONS)


def training_arguments(
    train: Train, *, output: Path, steps: int, seed: int, engine: Engine = "ddp", rows_differ: bool = False
) -> TrainingArguments:
    """Return the arguments of a run of `steps` optimizer steps, each of which is one item of the data set."""
    eval_steps = validation_interval(train, steps)
    arguments = TrainingArguments(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=1.0,  # never used: every parameter group has its part's own rate
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=train.warmup_steps,
        optim="adamw_torch" if train.optim == "muon" else train.optim,  # the trainer makes Muon itself
        weight_decay=train.weight_decay,
        adam_beta1=train.adam_beta1,
        adam_beta2=train.adam_beta2,
        adam_epsilon=train.adam_epsilon,
        max_grad_norm=train.max_grad_norm,
        activation_checkpointing=train.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if train.gradient_checkpointing else None,
        logging_steps=train.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would log a NaN as a loss of 0.0
        eval_strategy="steps",
        eval_steps=eval_steps,
        save_strategy="steps",
        save_steps=train.save_steps or eval_steps,
        dataloader_num_workers=train.dataloader_num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        seed=seed,
        full_determinism=train.full_determinism,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",  # trackers.py makes them
        disable_tqdm=True,
        **engine_arguments(engine, train, rows_differ=rows_differ),
    )
    if arguments.n_gpu > 1:
        # Trainer would wrap the model in DataParallel, which takes no planned steps.
        arguments._n_gpu = 1
    return arguments
