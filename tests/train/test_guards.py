"""Guards see the step that goes wrong, do with it what the recipe says, and keep its batch for a person to look at."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_setup import FULL, contexts_of, new_run, stage_of, train_stage

from finesight.errors import FinesightError, UserError
from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.train import Guards as GuardSettings
from finesight.rundir import RunDir
from finesight.runtime import ENGINE_VARIABLE, StopRequest
from finesight.schema import Example
from finesight.train import trainer
from finesight.train.checkpoints import complete_checkpoints, step_of
from finesight.train.engines import require_fitting_engine
from finesight.train.fit import fit
from finesight.train.guards import leave_out
from finesight.train.incidents import Usual, Waiting, causes_of_bad_loss, is_bad_loss
from finesight.tune.prepare import prepare_model

MakeModel = Callable[..., Loaded]


def incidents(run: RunDir) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == "guard"]


def read_batch(run: RunDir, incident: dict[str, Any]) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (run.path / incident["batch"] / "batch.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return content


def spoil(loaded: Loaded, at: dict[int, Callable[[torch.Tensor], torch.Tensor]]) -> None:
    """Change what the head gives in some training steps, counted from 1. A step here is one batch of rows."""
    steps = 0

    def change(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        if not module.training or not torch.is_grad_enabled():
            return output
        steps += 1
        return at[steps](output) if steps in at else output

    loaded.model.lm_head.register_forward_hook(change)


def no_number(logits: torch.Tensor) -> torch.Tensor:
    return logits * torch.nan


def train(
    loaded: Loaded,
    examples: tuple[Example, ...],
    folder: Path,
    *,
    guards: dict[str, Any] | None = None,
    **settings: Any,
) -> RunDir:
    stage = stage_of(FULL, guards=guards or {}, **settings)
    return train_stage(loaded, examples, stage, folder)


def stopped(
    loaded: Loaded, examples: tuple[Example, ...], folder: Path, **settings: Any
) -> tuple[RunDir, FinesightError]:
    with pytest.raises(FinesightError) as caught:
        train(loaded, examples, folder, **settings)
    return new_run_at(folder), caught.value


def new_run_at(folder: Path) -> RunDir:
    return RunDir(folder, new_run(folder.parent / "other").recipe, folder)


# Losses that are no numbers.


def test_a_loss_that_is_no_number_stops_and_leaves_its_batch(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    spoil(loaded, {7: no_number})
    run, error = stopped(loaded, examples, tmp_path / "run", max_steps=9, eval_steps=3)
    assert "the loss is nan at step 7 of stage tune; the batch is in" in error.message
    assert "learning rate" in error.hint
    assert "sdpa" not in error.hint, "a remedy that is in force is none"
    assert "resuming meets the same batch again: begin another run" in error.hint
    assert error.hint.endswith("or train.guards.on_bad_loss: skip")
    (incident,) = incidents(run)
    assert (incident["step"], incident["what"], incident["action"]) == (7, "loss", "stop")
    assert sorted(map(step_of, complete_checkpoints(run.checkpoints("tune")))) == [3, 6], "what was learned is kept"

    batch = read_batch(run, incident)
    assert (batch["stage"], batch["step"], batch["what"]) == ("tune", 7, "loss")
    assert len(batch["branches"]) == 4
    asked = {example.id: example for example in examples}
    for branch in batch["branches"]:
        example = asked[branch["id"]]
        assert branch["loss"] == "nan"
        said = "".join(piece["text"] for piece in branch["pieces"] if piece["learned"])
        assert all(turn.text.replace(" ", "") in said.replace(" ", "") for turn in example.turns if turn.learned)
        unlearned = "".join(piece["text"] for piece in branch["pieces"] if not piece["learned"])
        assert example.turns[0].text in unlearned
        assert sum(piece["tokens"] for piece in branch["pieces"] if piece["learned"]) == branch["learned_tokens"]
        for image in branch["images"]:
            assert (run.path / incident["batch"] / image["thumbnail"]).stat().st_size > 0
        assert [image["name"] for image in branch["images"]] == [image.name for image in example.images]


def test_a_step_that_is_left_out_moves_nothing(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    """Neither by its gradient nor by momentum and decay: the weights after it are those before it."""
    weights: list[list[torch.Tensor]] = []
    loaded = make_model()

    def remember(module: nn.Module, inputs: Any) -> None:
        if module.training and torch.is_grad_enabled():
            weights.append([parameter.detach().clone() for parameter in loaded.model.parameters()])

    loaded.model.lm_head.register_forward_pre_hook(remember)
    spoil(loaded, {3: no_number})
    settings = {"max_steps": 5, "weight_decay": 0.1}
    run = train(loaded, examples, tmp_path / "run", guards={"on_bad_loss": "skip"}, **settings)
    same = [all(map(torch.equal, one, other)) for one, other in pairwise(weights)]
    assert same == [False, False, True, False]
    rows = {row["step"]: row for row in run.metrics() if row["kind"] == "train"}
    assert [step for step, row in rows.items() if math.isnan(row["loss"])] == [3]
    assert (rows[3]["examples"], rows[4]["examples"]) == (0, 4)
    assert [(row["step"], row["action"]) for row in incidents(run)] == [(3, "skip")]


def test_a_left_out_step_counts_as_nothing_in_a_line_of_several(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    spoil(loaded, {3: no_number})
    run = train(loaded, examples, tmp_path / "run", guards={"on_bad_loss": "skip"}, max_steps=5, logging_steps=5)
    last = [row for row in run.metrics() if row["kind"] == "train"][-1]
    assert math.isfinite(last["loss"])


def test_more_steps_than_may_be_left_out_stop(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    spoil(loaded, {2: no_number, 4: no_number, 5: no_number})
    guards = {"on_bad_loss": "skip", "max_skips": 2}
    run, error = stopped(loaded, examples, tmp_path / "run", guards=guards, max_steps=9)
    assert [(row["step"], row["action"]) for row in incidents(run)] == [(2, "skip"), (4, "skip"), (5, "stop")]
    assert "2 steps were left out before" in error.hint


def test_the_first_batches_are_kept_and_all_are_noted(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finesight.train.guards.MOST_BATCHES", 1)
    loaded = make_model()
    spoil(loaded, {2: no_number, 4: no_number})
    run = train(loaded, examples, tmp_path / "run", guards={"on_bad_loss": "skip"}, max_steps=5)
    assert [(row["step"], "batch" in row) for row in incidents(run)] == [(2, True), (4, False)]
    assert [path.name for path in (run.path / "guards").iterdir()] == ["tune-step-2"]


def test_weights_that_were_spoilt_before_are_named(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    with torch.no_grad():
        loaded.model.model.multi_modal_projector.linear_1.bias[0] = torch.nan
    _, error = stopped(loaded, examples, tmp_path / "run")
    assert "the weights were no numbers before this step (model.multi_modal_projector.linear_1.bias)" in error.hint


def test_a_loss_of_exactly_0_stops(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where something has put 0 in the place of a loss that is no number."""
    real = trainer.learned_losses
    monkeypatch.setattr(trainer, "learned_losses", lambda *given: 0 * real(*given))
    run, error = stopped(make_model(), examples, tmp_path / "run")
    assert "the loss is 0.0 at step 1" in error.message
    assert incidents(run)[0]["what"] == "loss"


@pytest.mark.parametrize(
    ("loss", "before", "bad"),
    [
        (math.nan, 2.0, True),
        (math.inf, 2.0, True),
        (0.0, 2.0, True),
        (0.0, 0.001, False),
        (1e-8, 2.0, False),
        (math.nan, 0.001, True),
    ],
)
def test_a_loss_of_0_is_bad_unless_the_rows_are_known_by_heart(loss: float, before: float, bad: bool) -> None:
    usual = Usual()
    for _ in range(20):
        usual.add(before)
    assert is_bad_loss(loss, usual) is bad
    assert is_bad_loss(0.0, Usual())


@pytest.mark.usefixtures("two_gpu_failure")
def test_the_two_gpu_failure_stops_instead_of_being_logged_as_0(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    """The report's loss was always 0.0: in truth a mask of -inf, padded rows, eager attention."""
    loaded = make_model(dtype="bfloat16", attn_implementation="eager")
    run, error = stopped(loaded, examples, tmp_path / "run", global_batch_size=7, max_branches_per_context=8)
    assert "the loss is nan at step 1" in error.message
    assert "-inf in bfloat16" in error.hint or "sees nothing" in error.hint
    assert not [row for row in run.metrics() if row["kind"] == "train"]


# Rows.


def without_answers(context: Encoded) -> Encoded:
    return context.with_branches(
        tuple(replace(branch, labels=np.full_like(branch.labels, UNLEARNED)) for branch in context.branches)
    )


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_step_without_a_learned_token_is_seen_before_it_is_computed(
    policy: str, make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded, folder = make_model(), tmp_path / "run"
    stage = stage_of(FULL, guards={"on_bad_loss": policy}, max_steps=2)
    prepare_model(loaded, stage.tune, stage.train)
    contexts = contexts_of(loaded, examples)
    run, silent = new_run(folder), list(map(without_answers, contexts))
    arguments: dict[str, Any] = {"evaluate": dict, "max_tokens": 4096, "stop": StopRequest()}
    if policy == "stop":
        with pytest.raises(FinesightError, match="none of the step's tokens is learned"):
            fit(loaded, silent, contexts, stage, run, **arguments)
    else:
        fit(loaded, silent, contexts, stage, run, **arguments)
    first = incidents(run)[0]
    assert (first["what"], first["action"]) == ("no learned token", policy)
    branches = read_batch(run, first)["branches"]
    assert branches and all(branch["loss"] is None and branch["learned_tokens"] == 0 for branch in branches)


# Gradients.


def huge(logits: torch.Tensor) -> torch.Tensor:
    """The same logits, whose gradient is a thousand times as large."""
    return logits + 999 * (logits - logits.detach())


@pytest.mark.parametrize(("policy", "action"), [("note", "note"), ("skip", "skip"), ("stop", "stop")])
def test_a_gradient_far_above_the_usual_is_seen(
    policy: str, action: str, make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded, folder = make_model(), tmp_path / "run"
    spoil(loaded, {15: huge})
    settings: dict[str, Any] = {"guards": {"on_spike": policy}, "max_steps": 18, "learning_rate": 1e-4}
    if policy == "stop":
        run, _ = stopped(loaded, examples, folder, **settings)
    else:
        run = train(loaded, examples, folder, **settings)
    assert [(row["what"], row["step"], row["action"]) for row in incidents(run)] == [("gradient spike", 15, action)]
    assert all(math.isfinite(branch["loss"]) for branch in read_batch(run, incidents(run)[0])["branches"])


def test_a_gradient_that_is_no_number_under_a_loss_that_is_one(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()

    def endless(logits: torch.Tensor) -> torch.Tensor:
        # The root's gradient at zero is infinite, and 0 times that no number.
        return logits + torch.sqrt(0 * logits.abs())

    spoil(loaded, {2: endless})
    run, error = stopped(loaded, examples, tmp_path / "run")
    assert "the loss is a number, but the norm of its gradient is nan at step 2" in error.message
    assert incidents(run)[0]["what"] == "gradient"


def test_a_resumed_stage_judges_as_an_uninterrupted_one(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    """The spike lies a few steps behind the checkpoint: alone from there, nothing would be usual yet."""
    folder = tmp_path / "run"
    stage = stage_of(FULL, max_steps=15, eval_steps=12, learning_rate=1e-4)
    first, second = make_model(), make_model()
    prepare_model(first, stage.tune, stage.train)
    contexts, run = contexts_of(first, examples), new_run(folder)
    arguments: dict[str, Any] = {"evaluate": dict, "max_tokens": 4096}
    stop = StopRequest()

    def ask_to_stop(module: nn.Module, inputs: Any) -> None:
        if len([row for row in run.metrics() if row["kind"] == "train"]) >= 11:
            stop.ask()

    handle = first.model.lm_head.register_forward_pre_hook(ask_to_stop)
    with pytest.raises(FinesightError, match="stopped at step 12"):
        fit(first, contexts, contexts, stage, run, stop=stop, **arguments)
    handle.remove()
    prepare_model(second, stage.tune, stage.train)
    spoil(second, {2: huge})
    fit(second, contexts, contexts, stage, run, stop=StopRequest(), **arguments)
    assert [(row["what"], row["step"]) for row in incidents(run)] == [("gradient spike", 14)]


@pytest.mark.parametrize("gradient", [None, 1.0, math.nan])
def test_the_scaler_of_float16_leaves_out_what_is_to_be_left_out(gradient: float | None) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer, scaler = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1), torch.amp.GradScaler("cpu")
    scaler.scale(weight.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    before = weight.detach().clone()
    weight.grad = None if gradient is None else torch.full_like(weight, gradient)
    leave_out([weight], scaled=True)
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(weight, before)


# Judging, without a model.


@pytest.mark.parametrize(
    ("values", "value", "times"),
    [
        ([1.0] * 9, 100.0, 1.0),
        ([1.0] * 10, 100.0, 100.0),
        ([0.0] * 20, 5.0, 1.0),
        ([*[1.0] * 50, *[4.0] * 26], 8.0, 2.0),
    ],
)
def test_what_is_usual_is_the_median_of_the_last_fifty(values: list[float], value: float, times: float) -> None:
    usual = Usual()
    for each in values:
        usual.add(each)
    assert usual.times(value) == times


@pytest.mark.parametrize(
    ("waited", "computed", "steps", "starves"),
    [(6.0, 10.0, 20, True), (6.0, 60.0, 20, False), (4.0, 1.0, 20, False), (6.0, 1.0, 5, False)],
)
def test_waiting_for_data_is_told_once_it_costs(waited: float, computed: float, steps: int, starves: bool) -> None:
    waiting = Waiting(waited, computed, steps)
    assert waiting.starves() is starves
    assert "% of the time" in waiting.describe().message
    assert "dataloader_num_workers" in waiting.describe().causes[0]


def test_the_start_of_what_reads_ahead_is_no_starvation() -> None:
    """A resumed run is far beyond its first step, and has waited for nothing but that."""
    waiting = Waiting()
    waiting.add_wait(30.0)
    for _ in range(20):
        waiting.add_wait(0.1)
        waiting.add_step(0.1)
    assert not waiting.starves()
    assert (waiting.waited_seconds, waiting.computed_seconds) == (pytest.approx(2.0), pytest.approx(2.0))


def test_a_starved_training_says_so_once(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finesight.train.incidents.STARVED_SECONDS", 0.0)
    monkeypatch.setattr("finesight.train.incidents.STARVED", 0.0)
    run = train(make_model(), examples, tmp_path / "run", max_steps=14)
    (told,) = incidents(run)
    assert (told["what"], told["action"], "batch" in told) == ("waiting for data", "note", False)


def test_few_bad_questions_among_many_blame_the_data() -> None:
    branches = [{"id": str(number), "loss": math.nan if number == 3 else 2.0} for number in range(8)]
    first, *_ = causes_of_bad_loss(math.nan, branches, broken=[], computing="bfloat16", attention="eager")
    assert "1 of the step's 8 questions have such a loss (3)" in first


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(
    ("computing", "attention", "named"),
    [
        ("float32", "sdpa", ()),
        ("float32", "eager", ()),
        ("bfloat16", "sdpa", ()),
        ("bfloat16", "eager", ("attn_implementation: sdpa",)),
        ("float16", "sdpa", ("compute in float32 or bfloat16",)),
        ("float16", "eager", ("compute in float32 or bfloat16", "attn_implementation: sdpa")),
    ],
)
def test_no_remedy_is_named_that_is_in_force(computing: str, attention: str, named: tuple[str, ...], few: bool) -> None:
    branches = [{"id": str(number), "loss": 2.0 if few and number else math.nan} for number in range(3)]
    causes = causes_of_bad_loss(math.nan, branches, broken=[], computing=computing, attention=attention)
    told = " ".join(causes)
    for remedy in ("attn_implementation: sdpa", "compute in float32 or bfloat16"):
        assert (remedy in told) is (remedy in named)
    assert causes, "something is always left to look at"


def test_what_cannot_be_left_out_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "zero2")
    monkeypatch.setattr("finesight.train.engines.find_spec", lambda name: object())
    recipe = new_run(tmp_path).recipe
    train_with = recipe.each_stage()[0].train.model_copy(update={"guards": GuardSettings(on_spike="skip")})
    with pytest.raises(UserError, match="zero2 cannot leave one out"):
        require_fitting_engine(recipe.model_copy(update={"train": train_with}), "none")
