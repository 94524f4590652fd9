"""Checks of a loaded model against the data that it will learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from finesight.models.encoded import UNLEARNED, Encoded, Tokens
from finesight.models.formatter import Formatter
from finesight.models.hf.formatter import HfFormatter
from finesight.models.image_formatter import ImageFormatter
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.numerals import number_or_range, plural
from finesight.recipe.recipe import Stage
from finesight.schema import PART_NAMES, TaskExamples
from finesight.train.checks.check import Check
from finesight.train.checks.processor import check_processor

SAMPLED = 200
"""Examples whose text is decoded and compared; lengths and labels are looked at in all."""


def check_model(loaded: Loaded, stage: Stage, learned: Sequence[Encoded]) -> Iterator[Check]:
    """Yield the checks of tokens, labels, images and number formats."""
    singles = [context.with_branches((branch,)) for context in learned for branch in context.branches]
    yield from check_texts(loaded.formatter, singles)
    yield check_lengths(singles)
    if isinstance(loaded.formatter, ImageFormatter) and any(single.images for single in singles):
        yield check_image_tokens(loaded, loaded.formatter)
    if isinstance(loaded.formatter, HfFormatter):
        yield from check_processor(loaded, loaded.formatter)
    yield check_dtype(loaded)
    yield check_finite(loaded)
    yield check_random_parts(loaded, stage)
    yield check_branches(learned)


def check_texts(formatter: Formatter, singles: Sequence[Encoded]) -> Iterator[Check]:
    """Yield the checks of what is learned and what is asked, as text."""
    # That some have no learned token the dry run says.
    speaking = [single for single in singles if single.learned_tokens]
    if speaking:
        yield check_labels(formatter, speaking)
        yield check_prompts(formatter, speaking[:SAMPLED])


def check_labels(formatter: Formatter, singles: Sequence[Encoded]) -> Check:
    """The learned tokens of every example decode to its answer."""
    wrong = []
    for single in singles[:SAMPLED]:
        (branch,) = single.branches
        said = formatter.decode(branch.labels[branch.labels != UNLEARNED].tolist())
        answers = [turn.text for turn in branch.example.turns if turn.learned]
        if "".join(said.split()) != "".join("".join(answers).split()):
            wrong.append(f"{branch.example.id}: {said!r} instead of {answers[-1]!r}")
    if wrong:
        return Check(
            "labels",
            "failure",
            f"in {len(wrong)} of {min(len(singles), SAMPLED)} examples the learned tokens are not the answer "
            f"(first: {wrong[0]})",
            hint="give another model.chat_template",
        )
    tokens = Counter(single.learned_tokens for single in singles)
    return Check(
        "labels",
        "pass",
        f"all {len(singles):,} examples have {number_or_range(tokens)} learned tokens, and they are the answers",
    )


def check_prompts(formatter: Formatter, singles: Sequence[Encoded]) -> Check:
    """The model is asked with the same tokens that it learned to answer behind."""
    tokenizer = formatter.tokenizer
    for single in singles:
        (branch,) = single.branches
        asked = formatter.encode(branch.example, answered=False)
        learned_behind = np.concatenate([single.prefix_ids, branch.ids[: _start_of_last_answer(branch.labels)]])
        asked_with = np.concatenate([asked.prefix_ids, asked.branches[0].ids])
        if not np.array_equal(learned_behind, asked_with):
            return Check(
                "prompts",
                "failure",
                f"{branch.example.id}: the tokens before the answer differ between training and asking: "
                f"…{tokenizer.decode(learned_behind[-8:])!r} and …{tokenizer.decode(asked_with[-8:])!r}",
                hint="give a model.chat_template whose generation prompt is what stands before an answer",
            )
    return Check("prompts", "pass", "the tokens before an answer are the same in training and when asking")


def _start_of_last_answer(labels: Tokens) -> int:
    """Return where the last run of learned tokens begins."""
    unlearned_before_end = np.flatnonzero(labels[: np.flatnonzero(labels != UNLEARNED)[-1]] == UNLEARNED)
    return int(unlearned_before_end[-1]) + 1


def check_lengths(singles: Sequence[Encoded]) -> Check:
    """How long examples are, as the model counts."""
    lengths = np.array([single.tokens for single in singles])
    return Check(
        "lengths",
        "pass",
        f"{int(lengths.min())} to {int(lengths.max())} tokens an example, median {int(np.median(lengths))}, "
        "those of its image or text counted",
    )


@torch.no_grad()
def check_image_tokens(loaded: Loaded, formatter: ImageFormatter) -> Check:
    """As many image tokens stand in the text as the vision encoder gives features."""
    expected = formatter.geometry.features
    pixels = formatter.blank_pixels(1).to(loaded.device, loaded.model.dtype)
    features = int(loaded.model.get_image_features(pixel_values=pixels).pooler_output[0].shape[0])
    if features != expected:
        return Check(
            "image tokens",
            "failure",
            f"{expected} image tokens in the text, {features} features from the vision encoder",
            hint="check vision_feature_select_strategy: CLIP needs default, SigLIP full",
        )
    return Check("image tokens", "pass", f"{features} image tokens in the text, {features} features an image")


def check_dtype(loaded: Loaded) -> Check:
    """All weights that are not quantised have one number format."""
    formats = Counter(
        str(parameter.parameter.dtype).removeprefix("torch.")
        for parameter in bare_parameters(loaded.model)
        if parameter.parameter.is_floating_point() and not parameter.is_adapter
    )
    if len(formats) > 1:
        return Check(
            "number format",
            "failure",
            f"weights in {', '.join(f'{name} ({count} tensors)' for name, count in formats.items())}",
            hint="set model.dtype",
        )
    return Check("number format", "pass", f"all weights are {next(iter(formats))}")


@torch.no_grad()
def check_finite(loaded: Loaded) -> Check:
    """No weight is NaN or infinite: from one, everything that the model says becomes it."""
    broken = [
        parameter.name
        for parameter in bare_parameters(loaded.model)
        if parameter.parameter.is_floating_point() and not torch.isfinite(parameter.parameter).all()
    ]
    if broken:
        return Check(
            "finite weights",
            "failure",
            f"{plural(len(broken), 'tensor')} with NaN or infinite numbers (first: {broken[0]})",
            hint="take the checkpoint from its source again; if a training wrote it, its loss was NaN",
        )
    return Check("finite weights", "pass", "no weight is NaN or infinite")


def check_precision(loaded: Loaded, stage: Stage) -> Check:
    """Weights that are tuned themselves can take the small steps of an optimizer."""
    name = f"precision of {stage.name}"
    full = [part for part in PART_NAMES if stage.tune.of(part) == "full"]
    formats = {
        each.parameter.dtype
        for part in full
        for each in loaded.parts.parameters_of(loaded.model, part)
        if each.parameter.is_floating_point()
    }
    if torch.float16 in formats:
        return Check(
            name,
            "failure",
            f"{', '.join(full)} would be tuned in full in float16: the optimizer's small numbers are zero there, and "
            "the weights soon no numbers",
            hint="set model.dtype: float32 and train.fp16: true, or tune by lora",
        )
    if torch.bfloat16 in formats:
        return Check(
            name,
            "warning",
            f"{', '.join(full)} would be tuned in full in bfloat16, where a step of less than 1/"
            f"{round(4 / torch.finfo(torch.bfloat16).eps)} of a weight is rounded away: at a low learning rate, most "
            "are",
            hint="set model.dtype: float32 and train.bf16: true, or tune by lora",
        )
    return Check(name, "pass", "what learns is kept in float32" if full else "adapters are kept in float32")


def check_random_parts(loaded: Loaded, stage: Stage) -> Check:
    """A part that began as random numbers learns."""
    if not loaded.random_parts:
        return Check("random weights", "pass", "all weights come from a checkpoint")
    frozen = [part for part in sorted(loaded.random_parts) if stage.tune.of(part) == "frozen"]
    if frozen:
        return Check(
            "random weights",
            "warning",
            f"{', '.join(frozen)} began as random numbers and is frozen in this stage",
            hint="tune it, or start from a checkpoint",
        )
    return Check("random weights", "pass", f"random at first, and learning: {', '.join(sorted(loaded.random_parts))}")


def check_branches(contexts: Sequence[Encoded]) -> Check:
    """What sharing contexts saves."""
    shared = sum(context.tokens for context in contexts)
    separate = sum(len(context.prefix_ids) + len(branch.ids) for context in contexts for branch in context.branches)
    questions = sum(len(context.branches) for context in contexts)
    return Check(
        "branches",
        "pass",
        f"{questions:,} questions behind {len(contexts):,} contexts: {shared:,} tokens when each context stands once, "
        f"{separate:,} in rows of their own",
    )


def check_answer_lengths(loaded: Loaded, task: TaskExamples) -> Check:
    """No right answer is longer than a task lets the model speak."""
    tokenizer = loaded.formatter.tokenizer
    long = [
        example.id
        for example in task.examples
        if len(tokenizer(example.references[0], add_special_tokens=False)["input_ids"]) >= task.max_new_tokens
    ]
    if long:
        return Check(
            f"answers of {task.name}",
            "warning",
            f"{len(long)} right answers have {task.max_new_tokens} tokens or more (first: {long[0]})",
            hint="raise the task's max_new_tokens",
        )
    return Check(f"answers of {task.name}", "pass", f"every right answer fits {task.max_new_tokens} tokens")
