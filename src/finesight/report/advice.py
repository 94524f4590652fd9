"""What to do next, as far as the files tell. Each advice is one function over the files: sentences, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from finesight.numerals import count, figures_of, loss, plural
from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Stage
from finesight.recipe.tune import Lora
from finesight.report.files import Content, RunFiles
from finesight.report.progress import early_end, has_trained

STILL_FALLING = 0.01
"""Share by which the last validations must have lowered the loss for it to be called falling."""
FLAT = 0.02
"""Share that the loss must have fallen from its first validation for the training to count as learning."""
FAR_BELOW = 0.5
"""Train loss below this share of the validation loss is memory more than learning."""
MOSTLY = 0.5
"""Share of the errors from which a cause is named as the main one."""

Advice = Callable[[RunFiles], Iterator[str]]


def advise(files: RunFiles) -> tuple[str, ...]:
    """Return what the files say should be tried next, each sentence with the figures that it rests on.

    A rehearsal's figures mean nothing, so nothing follows from them.
    """
    if files.rehearsal:
        return ()
    return tuple(sentence for advice in ALL_ADVICE for sentence in advice(files))


def leaks_first(files: RunFiles) -> Iterator[str]:
    """A verdict on images that were learned is none."""
    if leaks := [leak for leak in files.data.get("leaks", []) if not leak.get("within_threshold")]:
        worst = max(leaks, key=lambda leak: int(leak["examples"]))
        yield (
            f"Repair the split before reading anything else here: {plural(worst['examples'], 'example')} of "
            f"{worst['evaluation_set']} are also in {worst['learned_set']} ({worst['kind']}). Give all the data as "
            "data.train and leave out data.test and data.validation: finesight then divides them by image."
        )


def loss_is_no_number(files: RunFiles) -> Iterator[str]:
    """A loss that is not a number teaches nothing from there on."""
    for stage in files.recipe.each_stage():
        of_stage = [row for row in files.metrics if row["stage"] == stage.name]
        # A line whose steps guards have all left out has no learned token, and no loss.
        rows = [row for row in of_stage if not math.isfinite(row["loss"]) and row["learned_tokens"]]
        if rows:
            yield (
                f"{stage.name}: the {rows[0]['kind']} loss is not a number from step {count(rows[0]['step'])} on. "
                "Lower the learning rate, or compute in float32 or bf16 instead of fp16."
            )


def train_longer(files: RunFiles) -> Iterator[str]:
    """The validation loss was still falling when the training ended."""
    for stage, rows in _validations(files):
        losses = [row["loss"] for row in rows]
        earlier = losses[-1 - max(1, len(losses) // 4)]
        is_falling = losses[-1] == min(losses) and losses[-1] < earlier * (1 - STILL_FALLING)
        if is_falling and loss(earlier) != loss(losses[-1]) and not _nothing_left_to_learn(files):
            steps = [count(row["step"]) for row in rows]
            yield (
                f"{stage.name}: train longer. The validation loss was still falling at the end: {loss(earlier)} at "
                f"step {steps[losses.index(earlier)]}, {loss(losses[-1])} at step {steps[-1]}, the last. "
                f"{_now(files, stage)}"
            )


def learns_nothing(files: RunFiles) -> Iterator[str]:
    """The loss hardly moved from first to last."""
    for stage, rows in _validations(files):
        first, lowest = rows[0]["loss"], min(row["loss"] for row in rows)
        if lowest > first * (1 - FLAT):
            yield (
                f"{stage.name}: the validation loss hardly moved: {loss(first)} at first, {loss(lowest)} at its "
                "lowest. Try a higher learning rate, or let more learn: the table of the parts shows what does."
            )


def overfits(files: RunFiles) -> Iterator[str]:
    """The train loss lies far below the validation loss."""
    for stage, rows in _validations(files):
        trained = [row["loss"] for row in files.metrics_of(stage.name, "train")]
        if not trained:
            continue
        learned, unseen = fmean(trained[-max(1, len(trained) // 10) :]), rows[-1]["loss"]
        lowest = min(rows, key=lambda row: float(row["loss"]))
        if learned < unseen * FAR_BELOW:
            yield (
                f"{stage.name}: overfitting. The train loss ended at {loss(learned)}, the validation loss at "
                f"{loss(unseen)} (lowest: {loss(lowest['loss'])} at step {count(lowest['step'])}). Train on more data, "
                f"stop earlier, or let less learn{_smaller_adapters(stage)}."
            )


def context_is_not_used(files: RunFiles) -> Iterator[str]:
    """The tuned model answers as well without its image, or without its text."""
    what, remedy = "image", "Tune the projector, use a stronger vision encoder or larger images"
    if isinstance(files.recipe.model, TextModel):
        what, remedy = "text", "Let more learn, train longer, use a larger model or shorter texts"
    for task in _held_out(files):
        scores, over = task["scores"], task.get("over_baseline") or {}
        if not scores.get("blind") or not scores.get("after"):
            continue
        figures, compared = figures_of(task), over if over.get("from") == "blind" else None
        lead = scores["after"]["score"] - scores["blind"]["score"]
        if (lead <= 0) is figures.higher_is_better or (compared and figures.gain(compared)[0] <= 0):
            interval = f" (difference {figures.difference(compared)})" if compared else ""
            after, blind = (figures.value(scores[predictor]["score"]) for predictor in ("after", "blind"))
            yield (
                f"{task['name']}: the tuned model does not show that it uses the {what}: {after} with it, {blind} from "
                f"the question alone{interval}. {remedy}, and look at whether the questions can be answered without "
                f"the {what}."
            )


def no_better_than_majority(files: RunFiles) -> Iterator[str]:
    """Always giving the most frequent answer does as well."""
    for task in _held_out(files):
        over, figures = task.get("over_baseline") or {}, figures_of(task)
        if over.get("from", "").startswith("majority") and figures.gain(over)[0] <= 0:
            by_type = " of the question's type" if over["from"] == "majority_by_question_type" else ""
            yield (
                f"{task['name']}: always giving the most frequent answer{by_type} does as well: that gives "
                f"{figures.value(task['scores'][over['from']]['score'])}, the tuned model "
                f"{figures.value(task['scores']['after']['score'])} (difference {figures.difference(over)}). The "
                "frequent answers may be all that was learned: balance the answers, add data, or train longer."
            )


def tuning_silenced(files: RunFiles) -> Iterator[str]:
    """Most answers are empty since the tuning, and were not before it."""
    judged_too_high = [
        f"{check['message']} ({check['hint']})"
        for stage in files.checks.get("stages", [])
        for check in stage["checks"]
        if check["name"].startswith("learning rates") and check["status"] == "warning"
    ]
    why = "".join(f" The check before the run said: {told}." for told in dict.fromkeys(judged_too_high))
    for task in files.judged_tasks:
        if became := _became_empty(task):
            outcomes = task["outcomes"]
            yield (
                f"{task['name']}: the tuning broke the model: {count(outcomes['after']['empty'])} of "
                f"{plural(sum(outcomes['after'].values()), 'answer')} are empty, {count(became)} more than before it. "
                f"Lower the learning rate.{why}"
            )


def format_not_knowledge(files: RunFiles) -> Iterator[str]:
    """Most errors are answers that are cut off or empty."""
    for task in files.judged_tasks:
        after = task.get("outcomes", {}).get("after")
        if not after or _became_empty(task):
            continue
        cut, empty = after.get("cut", 0), after.get("empty", 0)
        errors = sum(after.values()) - after["right"]
        of = plural(errors, "error") if figures_of(task).percent else plural(errors, "answer")
        if errors and (cut + empty) / errors > MOSTLY:
            raise_limit = "raise max_new_tokens, or ask for a short answer in the prompt"
            look_at_prompt = "look at the prompt and at the chat template: the model ends its answer before it begins"
            remedy = raise_limit if cut >= empty else look_at_prompt
            yield (
                f"{task['name']}: the format is the problem more than the knowledge: {count(cut)} answers were cut off "
                f"and {count(empty)} empty, of {of} after tuning. First {remedy}."
            )


def forgets(files: RunFiles) -> Iterator[str]:
    """What should have been kept was lost."""
    replayed = files.data.get("sets", {}).get("train", {}).get("by_role", {}).get("replay", 0)
    for task in files.judged_tasks:
        change = task.get("difference")
        if task["role"] == "forgetting" and change and not _became_empty(task) and figures_of(task).gain(change)[1] < 0:
            remedy = (
                f"Mix in more than the {plural(replayed, 'replay example')} there are"
                if replayed
                else "Mix in general examples (a source with role: replay)"
            )
            lost = figures_of(task).difference(change)
            yield (f"{task['name']}: what should be kept was lost, {lost}. {remedy}, or lower the learning rate.")


def measure_on_more(files: RunFiles) -> Iterator[str]:
    """The interval is too wide to say whether anything changed."""
    for task in _held_out(files):
        change = task.get("difference")
        if change and change["low"] <= 0 <= change["high"]:
            figures, half = figures_of(task), (change["high"] - change["low"]) / 2
            yield (
                f"{task['name']}: measure on more. On {plural(task['groups'], 'group')} the difference is known to "
                f"± {figures.size(half)}, and it is {figures.change(change['estimate'])}. Halving "
                f"that uncertainty takes about four times as many groups ({count(4 * task['groups'])})."
            )


ALL_ADVICE: tuple[Advice, ...] = (
    leaks_first,
    loss_is_no_number,
    tuning_silenced,
    format_not_knowledge,
    context_is_not_used,
    no_better_than_majority,
    learns_nothing,
    train_longer,
    overfits,
    forgets,
    measure_on_more,
)
"""In the order in which they are given: what invalidates the rest comes first."""


def _held_out(files: RunFiles) -> list[Content]:
    """Return the held-out tasks that are still answered: of silence nothing else follows."""
    return [task for task in files.judged_tasks if task["role"] == "held_out" and not _became_empty(task)]


def _became_empty(task: Content) -> int:
    """Return how many more answers are empty since the tuning, where that is most of all answers; else 0."""
    outcomes = task.get("outcomes", {})
    before, after = outcomes.get("before", {}), outcomes.get("after", {})
    more: int = after.get("empty", 0) - before.get("empty", 0)
    return more if more > MOSTLY * sum(after.values()) else 0


def _validations(files: RunFiles) -> Iterator[tuple[Stage, Sequence[Content]]]:
    """Yield the stages that came to their end and were validated, with real losses, often enough for a trend.

    None of a run that silenced its model: neither more steps nor a higher rate helps that.
    """
    if any(map(_became_empty, files.judged_tasks)):
        return
    for stage in files.recipe.each_stage():
        rows = files.metrics_of(stage.name, "validation")
        if len(rows) >= 3 and has_trained(files, stage) and all(math.isfinite(row["loss"]) for row in rows):
            yield stage, rows


def _nothing_left_to_learn(files: RunFiles) -> bool:
    """Return whether every held-out task is answered in full."""
    tasks = _held_out(files)
    return bool(tasks) and all(
        figures_of(task).percent and task["scores"].get("after", {}).get("score") == 1.0 for task in tasks
    )


def _now(files: RunFiles, stage: Stage) -> str:
    train = stage.train
    if (stopping := train.early_stopping) and (told := early_end(files, stage)):
        least = f", or lower min_delta, now {stopping.min_delta:g}" if stopping.min_delta else ""
        return f"It was {told}. Raise early_stopping.patience_steps, now {count(stopping.patience_steps)}{least}."
    if train.max_steps:
        return f"Raise max_steps, now {count(train.max_steps)}."
    return f"Raise num_train_epochs, now {train.num_train_epochs:g}."


def _smaller_adapters(stage: Stage) -> str:
    tunings = (stage.tune.vision, stage.tune.projector, stage.tune.language)
    ranks = [tuning.r for tuning in tunings if isinstance(tuning, Lora)]
    return f" (a smaller r than {max(ranks)}, some lora_dropout)" if ranks else " (adapters instead of full tuning)"
