"""Each advice speaks where the files give the reason, with its figures, and is silent where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_folder import write_run

from finesight.recipe.model import TextModel
from finesight.recipe.train import EarlyStopping
from finesight.report import advice
from finesight.report.files import RunFiles, read_files
from finesight.report.page import gather


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return read_files(write_run(tmp_path_factory.mktemp("advice") / "run"))


def with_losses(files: RunFiles, validation: Sequence[float], train: Sequence[float] = (2.0,)) -> RunFiles:
    """Return the files of a run whose losses were these."""

    def row(kind: str, step: int, loss: float) -> dict[str, Any]:
        return {"kind": kind, "stage": "tune", "step": step, "epoch": step / 100, "loss": loss, "learned_tokens": 100}

    rows = [row("train", 10 * (n + 1), loss) for n, loss in enumerate(train)]
    rows += [row("validation", 100 * (n + 1), loss) for n, loss in enumerate(validation)]
    return replace(files, metrics=tuple(rows))


def with_task(files: RunFiles, place: int = 0, **changes: Any) -> RunFiles:
    """Return the files with fields of one task of the verdict replaced."""
    tasks = [dict(task) for task in files.verdict["tasks"]]
    tasks[place] |= changes
    return replace(files, verdict={**files.verdict, "tasks": tasks})


def change(low: float, high: float, start: str = "before") -> Mapping[str, Any]:
    return {"from": start, "to": "after", "estimate": (low + high) / 2, "low": low, "high": high, "p_mcnemar": 0.5,
            "better": 5, "worse": 5, "unchanged": 110}  # fmt: skip


def only(found: Sequence[str]) -> str:
    assert len(found) == 1
    return found[0]


def test_a_loss_that_still_falls_asks_for_longer_training(files: RunFiles) -> None:
    told = only(list(advice.train_longer(with_losses(files, [2.0, 1.5, 1.2, 1.0, 0.9]))))
    assert "1.000 at step 400, 0.900 at step 500, the last. Raise num_train_epochs, now 3." in told
    assert not list(advice.train_longer(with_losses(files, [2.0, 1.2, 0.9, 0.9, 0.95])))


def stopped_early(files: RunFiles, losses: Sequence[float], planned: int, **settings: Any) -> RunFiles:
    """Return the files of a run with early stopping, of whose steps so many were planned."""
    files = with_losses(files, losses)
    stopping = EarlyStopping(patience_steps=8, **settings)
    recipe = files.recipe.model_copy(update={"train": files.recipe.each_stage()[0].train.model_copy(
        update={"early_stopping": stopping})})  # fmt: skip
    rows = tuple({**row, "planned_steps": planned} for row in files.metrics)
    return replace(files, recipe=recipe, metrics=rows)


def test_a_run_that_stopped_early_is_not_told_to_plan_more_epochs(files: RunFiles) -> None:
    falling = [2.0, 1.5, 1.2, 1.0, 0.9]
    told = only(list(advice.train_longer(stopped_early(files, falling, 800, min_delta=5))))
    assert "stopped early at step 500 of 800: no improvement of eval_loss of more than 5 in 8 steps" in told
    assert told.endswith("Raise early_stopping.patience_steps, now 8, or lower min_delta, now 5.")
    assert "num_train_epochs" not in told
    told = only(list(advice.train_longer(stopped_early(files, falling, 800))))
    assert told.endswith("no improvement of eval_loss in 8 steps. Raise early_stopping.patience_steps, now 8.")
    to_the_end = only(list(advice.train_longer(stopped_early(files, falling, 500))))
    assert "early" not in to_the_end and "num_train_epochs" in to_the_end


def test_the_page_says_where_a_training_stopped_early(files: RunFiles) -> None:
    early = stopped_early(files, [2.0, 1.5, 1.2], 800)
    assert gather(early).sentences[-1].startswith("tune: stopped early at step 300 of 800")
    assert gather(stopped_early(files, [2.0, 1.5, 1.2], 300)).sentences == gather(files).sentences


def test_who_knows_all_need_not_train_longer(files: RunFiles) -> None:
    assert not list(advice.train_longer(with_losses(files, [2.0, 1.0, 0.00340, 0.00330]))), "both print as 0.003"
    falling = with_losses(files, [2.0, 1.5, 1.2, 1.0, 0.9])
    scores = {**falling.verdict["tasks"][0]["scores"], "after": {"score": 1.0, "low": 1.0, "high": 1.0, "right": 120}}
    assert not list(advice.train_longer(with_task(falling, scores=scores)))


def test_a_run_that_was_interrupted_is_not_told_to_train_longer(files: RunFiles) -> None:
    assert not list(advice.train_longer(replace(with_losses(files, [2.0, 1.5, 1.0]), best={})))


def test_a_loss_that_does_not_move_is_told(files: RunFiles) -> None:
    told = only(list(advice.learns_nothing(with_losses(files, [2.00, 1.99, 1.99]))))
    assert "2.000 at first, 1.990 at its lowest" in told
    assert not list(advice.learns_nothing(with_losses(files, [2.0, 1.8, 1.7])))


def test_a_train_loss_far_below_the_validation_loss_is_overfitting(files: RunFiles) -> None:
    told = only(list(advice.overfits(with_losses(files, [2.0, 1.1, 1.4], train=[2.0, 0.2]))))
    assert "The train loss ended at 0.200, the validation loss at 1.400 (lowest: 1.100 at step 200)" in told
    assert "a smaller r than 16" in told
    assert not list(advice.overfits(with_losses(files, [2.0, 1.1, 1.4], train=[2.0, 0.9])))


def test_an_image_that_is_not_used_is_told(files: RunFiles) -> None:
    told = only(list(advice.context_is_not_used(with_task(files, over_baseline=change(-0.02, 0.04, "blind")))))
    assert "difference +1.0 points [−2.0, 4.0]" in told
    assert "uses the image" in told
    assert not list(advice.context_is_not_used(with_task(files, over_baseline=change(0.02, 0.08, "blind"))))


def test_a_text_that_is_not_used_is_told_without_a_word_of_images(files: RunFiles) -> None:
    model = TextModel(kind="text", name_or_path="model")
    files = replace(files, recipe=files.recipe.model_copy(update={"model": model}))
    told = only(list(advice.context_is_not_used(with_task(files, over_baseline=change(-0.02, 0.04, "blind")))))
    assert "uses the text" in told
    assert "image" not in told
    assert "projector" not in told


def test_no_gain_over_the_majority_answer_is_told(files: RunFiles) -> None:
    told = only(list(advice.no_better_than_majority(with_task(files, over_baseline=change(-0.02, 0.04, "majority")))))
    assert "always giving the most frequent answer does as well" in told
    assert not list(advice.no_better_than_majority(with_task(files, over_baseline=change(0.02, 0.04, "majority"))))


def test_answers_that_are_cut_or_empty_are_a_matter_of_format(files: RunFiles) -> None:
    cut = {"after": {"right": 60, "wrong": 10, "empty": 5, "cut": 45}}
    told = only([each for each in advice.format_not_knowledge(with_task(files, outcomes=cut)) if "held_out" in each])
    assert "45 answers were cut off and 5 empty, of 60 errors after tuning. First raise max_new_tokens" in told
    wrong = {"after": {"right": 60, "wrong": 50, "empty": 5, "cut": 5}}
    assert not [each for each in advice.format_not_knowledge(with_task(files, outcomes=wrong)) if "held_out" in each]


def test_a_tuning_that_silenced_the_model_is_not_taken_for_its_prompt(files: RunFiles) -> None:
    outcomes = {"before": {"right": 40, "wrong": 60, "empty": 0}, "after": {"right": 0, "wrong": 0, "empty": 100}}
    check = {"name": "learning rates of tune", "status": "warning", "message": "0.05 is too much", "hint": "try 2e-5"}
    silenced = with_task(replace(files, checks={"stages": [{"checks": [check]}]}), outcomes=outcomes)
    told = only(list(advice.tuning_silenced(silenced)))
    assert "100 of 100 answers are empty, 100 more than before it. Lower the learning rate." in told
    assert "The check before the run said: 0.05 is too much (try 2e-5)." in told
    assert not [each for each in advice.format_not_knowledge(silenced) if "held_out" in each]
    others = with_task(with_losses(silenced, [2.0, 1.5, 1.2, 1.0]), over_baseline=change(-0.3, -0.2, "majority"))
    assert [each for each in advice.advise(others) if "held_out" in each or "tune:" in each] == [told]

    mute = with_task(files, outcomes={**outcomes, "before": outcomes["after"]})
    assert not list(advice.tuning_silenced(mute))
    assert "look at the prompt" in next(each for each in advice.format_not_knowledge(mute) if "held_out" in each)


def test_what_was_forgotten_asks_for_replay(files: RunFiles) -> None:
    told = only(list(advice.forgets(with_task(files, place=1, difference=change(-0.12, -0.04)))))
    assert "general: what should be kept was lost, −8.0 points [−12.0, −4.0]. Mix in more than the 80 replay" in told
    assert not list(advice.forgets(with_task(files, place=1, difference=change(-0.12, 0.04))))


def test_an_interval_around_zero_asks_for_more_examples(files: RunFiles) -> None:
    told = only(list(advice.measure_on_more(with_task(files, difference=change(-0.03, 0.05)))))
    assert "known to ± 4.0 points, and it is +1.0 points" in told
    assert "about four times as many groups (96)" in told
    assert not list(advice.measure_on_more(with_task(files, difference=change(0.01, 0.05))))


def test_a_run_with_nothing_to_say_gets_no_advice(tmp_path: Path) -> None:
    assert advice.advise(read_files(write_run(tmp_path / "run", until="recipe"))) == ()
