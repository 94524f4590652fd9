"""The deep checks: a sound stage passes and leaves no trace; every fault that is put in is named."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_setup import FULL, contexts_of, stage_of

from finesight.branches import loss as branches_loss
from finesight.errors import CheckFailed
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.runtime import ENGINE_VARIABLE, say
from finesight.schema import Example
from finesight.train.checks import one_step, ten_steps, writing
from finesight.train.checks.check import Check, require_passed
from finesight.train.checks.formats import remedy_for_no_number
from finesight.train.checks.packing import check_packing, choose_pair
from finesight.train.checks.preflight import preflight_stages
from finesight.train.checks.rates import check_learning_rates
from finesight.train.checks.room import GIB, allowed_bytes, own_cgroup
from finesight.train.checks.trial_step import Trial
from finesight.train.checks.untouched import fingerprint, fingerprints
from finesight.train.checks.writing import check_disk, checkpoint_bytes, most_checkpoints
from finesight.tune import prepare

LORA = {"method": "lora", "r": 2, "lora_dropout": 0.1}
MIXED = {"projector": "full", "language": LORA}
MakeModel = Callable[..., Loaded]


def try_out(loaded: Loaded, examples: tuple[Example, ...], stage: Stage, folder: Path) -> dict[str, Check]:
    stages = [(stage, contexts_of(loaded, examples))]
    found = preflight_stages(loaded, stages, seed=1, max_tokens=4096, folder=folder)[stage.name]
    return {check.name.removesuffix(f" of {stage.name}"): check for check in found}


def statuses(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.status for name, check in checks.items() if check.status != "pass"}


def language_layers(loaded: Loaded) -> Any:
    return loaded.model.model.language_model.layers


# What is sound.


@pytest.mark.parametrize(
    ("tune", "train"),
    [
        (FULL, {}),
        (MIXED, {}),
        (MIXED, {"bf16": True, "gradient_checkpointing": True}),
        (FULL, {"optim": "sgd", "learning_rate": 0.5}),
        ({"language": {**LORA, "use_dora": True}}, {}),
    ],
    ids=["full", "mixed", "autocast and checkpointing", "sgd", "dora"],
)
def test_a_sound_stage_passes_and_leaves_no_trace(
    tune: dict[str, Any], train: dict[str, Any], make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    weights = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    modules = [name for name, _ in loaded.model.named_modules()]
    learning = [name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad]
    say("trying")  # what writes the log draws a random number at its first line
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    checks = try_out(loaded, examples, stage_of(tune, **train), tmp_path / "runs" / "new")
    drawn = random.random(), np.random.random(), torch.rand(3).tolist()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    assert drawn == (random.random(), np.random.random(), torch.rand(3).tolist())

    assert statuses(checks) == {}
    assert list(checks) == [
        "computing format", "rows", "first loss", "gradients", "ten steps", "frozen weights", "checkpoint", "trial",
        "disk",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert [name for name, _ in loaded.model.named_modules()] == modules
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.model.state_dict().items())
    assert [name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad] == learning
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    assert not loaded.model.is_activation_checkpointing
    assert loaded.changed_parts == set()


def test_what_is_trained_after_a_trial_is_what_is_trained_without_one(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    prepared = []
    for tried in (False, True):
        loaded, stage = make_model(), stage_of(MIXED)
        torch.manual_seed(5)
        if tried:
            try_out(loaded, examples, stage, tmp_path)
        prepare.prepare_model(loaded, stage.tune, stage.train)
        prepared.append(loaded.model.state_dict())
    assert prepared[0].keys() == prepared[1].keys()
    assert all(torch.equal(prepared[0][name], prepared[1][name]) for name in prepared[0])


def test_a_text_model_and_a_stage_after_another_are_tried(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model(vision=None)
    contexts = contexts_of(loaded, (example for example in examples if not example.images))
    first = stage_of({"language": "full"}, global_batch_size=1)
    second = stage_of({"language": LORA}, global_batch_size=1).model_copy(update={"name": "then"})
    found = preflight_stages(
        loaded, [(first, contexts), (second, contexts)], seed=1, max_tokens=512, folder=tmp_path / "run"
    )
    assert list(found) == ["tune", "then"]
    assert {check.status for checks in found.values() for check in checks} == {"pass"}


# What is not.


def test_a_ghost_is_named(make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path) -> None:
    loaded = make_model()
    loaded.model.ghost = nn.Linear(8, 8)
    checks = try_out(loaded, examples, stage_of(FULL), tmp_path)
    assert statuses(checks) == {"parameters": "failure"}
    assert "ghost: 72 parameters" in checks["parameters"].message
    assert "ten steps" not in checks


def test_a_module_of_another_number_format_is_named(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model(dtype="bfloat16")
    language_layers(loaded)[1].input_layernorm.float()
    checks = try_out(loaded, examples, stage_of({"language": LORA}), tmp_path)
    assert statuses(checks) == {"computing format": "failure"}
    assert checks["computing format"].message.startswith(
        "model.language_model.layers.1.input_layernorm has weights in float32"
    )


def test_a_table_in_float32_that_is_cast_where_it_is_used_is_no_fault(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    """As the angles of Qwen2-VL's vision encoder: a module gives them, and none takes them."""
    loaded = make_model(dtype="bfloat16")
    language = loaded.model.model.language_model
    language.table = Table()

    def look_up(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + 0 * language.table(output).to(output.dtype)

    language.layers[0].mlp.act_fn.register_forward_hook(look_up)
    checks = try_out(loaded, examples, stage_of({"language": LORA}), tmp_path)
    assert statuses(checks) == {}


class Table(nn.Module):
    def forward(self, like: torch.Tensor) -> torch.Tensor:
        return torch.ones(like.shape)


def test_numbers_that_change_their_format_between_modules_are_named_where_they_arrive(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model(dtype="bfloat16")
    norm = language_layers(loaded)[1].post_attention_layernorm
    norm.register_forward_pre_hook(lambda module, inputs: (inputs[0].float(),), prepend=True)
    check = try_out(loaded, examples, stage_of({"language": LORA}), tmp_path)["computing format"]
    assert check.status == "failure"
    assert check.message.startswith("model.language_model.layers.1.post_attention_layernorm is given float32")


def test_a_module_that_gives_on_another_number_format_is_named(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    language_layers(loaded)[0].mlp.act_fn.register_forward_hook(lambda module, inputs, output: output.double())
    check = try_out(loaded, examples, stage_of({"language": LORA}), tmp_path)["computing format"]
    assert check.status == "failure"
    assert "layers.0.mlp.act_fn gives float64" in check.message


def test_an_adapter_that_no_gradient_reaches_fails(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit's own reachability is deceived, so that nothing but the real step can tell."""
    everything = prepare.reachable_parameters

    def deceived(twin: Any) -> frozenset[str]:
        everything(twin)
        return frozenset(name for name, _ in twin.named_parameters())

    monkeypatch.setattr(prepare, "reachable_parameters", deceived)
    lora = {**LORA, "target_modules": ["q_proj"]}
    check = try_out(make_model(), examples, stage_of({"vision": lora}), tmp_path)["gradients"]
    assert check.status == "failure"
    assert "adapters lie where no gradient arrives: model.vision_tower.encoder.layers.2" in check.message


def test_a_frozen_tensor_that_moves_is_named(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = make_model()
    moving = language_layers(loaded)[0].input_layernorm

    def move(module: nn.Module, inputs: Any) -> None:
        with torch.no_grad():
            module.weight.mul_(1.0001)  # every element alike, as weight decay would

    moving.register_forward_pre_hook(move)
    checks = try_out(loaded, examples, stage_of({"projector": "full"}), tmp_path)
    assert checks["frozen weights"].status == "failure"
    assert "1 tensor moved that should not learn: model.language_model.layers.0.input_layernorm.weight" in (
        checks["frozen weights"].message
    )
    assert checks["trial"].status == "failure", "what moved cannot be put back, and that is said"


def test_a_loss_that_is_no_number_fails(make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path) -> None:
    loaded = make_model()
    loaded.model.lm_head.register_forward_hook(lambda module, inputs, output: output * torch.nan)
    checks = try_out(loaded, examples, stage_of(FULL), tmp_path)
    assert checks["first loss"].status == "failure"
    assert "the loss of the first rows is nan" in checks["first loss"].message
    assert "gradients" not in checks, "they can be no numbers then, and are not told apart"
    assert "dtype" not in checks["first loss"].hint, "it is float32 already"
    assert checks["trial"].status == "pass"
    with pytest.raises(CheckFailed) as caught:
        require_passed(checks.values())
    assert caught.value.message.count("hint: ") == 1, "rows and first loss have one remedy"


def test_the_remedy_for_a_loss_that_is_no_number_is_not_in_force() -> None:
    assert "model.dtype: float32 or bfloat16" in remedy_for_no_number(torch.float16)
    for format in (torch.float32, torch.bfloat16):
        assert "model.dtype" not in remedy_for_no_number(format)


def test_each_failure_has_its_hint_below_it_and_none_is_told_twice() -> None:
    failures = [Check(name, "failure", f"{name} is wrong", hint=f"mend {name[0]}") for name in ("a1", "a2", "b")]
    with pytest.raises(CheckFailed) as caught:
        require_passed([*failures, Check("c", "pass", "fine")])
    assert str(caught.value).splitlines() == [
        "a1: a1 is wrong", "  hint: mend a", "a2: a2 is wrong", "b: b is wrong", "  hint: mend b",
    ]  # fmt: skip
    with pytest.raises(CheckFailed) as caught:
        require_passed(failures[:1])
    assert str(caught.value) == "a1: a1 is wrong\nhint: mend a"


@pytest.mark.parametrize(("small", "status"), [(10_000, "pass"), (100, "warning")])
def test_a_checkpoint_that_does_no_better_than_guessing_is_noted(
    small: int,
    status: str,
    make_model: MakeModel,
    enliven: Callable[[Any], Any],
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that is not random by its own account, with weights that are; its vocabulary has 400 tokens."""
    monkeypatch.setattr(one_step, "SMALL_VOCABULARY", small)
    loaded = replace(enliven(make_model()), random_parts=frozenset())
    check = try_out(loaded, examples, stage_of(FULL), tmp_path)["first loss"]
    assert check.status == status
    assert ("no better than that" in check.message) == (status == "warning")


def test_a_learning_rate_under_which_the_loss_rises_is_noted(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    check = try_out(make_model(), examples, stage_of(FULL, learning_rate=0.9), tmp_path)["ten steps"]
    assert check.status == "warning"
    assert "rises at the recipe's learning rates" in check.message
    assert "lower the learning rate" in check.hint


def test_a_stage_that_cannot_learn_fails(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: None)
    check = try_out(make_model(), examples, stage_of(FULL), tmp_path)["ten steps"]
    assert check.status == "failure"
    assert "does not fall" in check.message


def test_ten_steps_are_left_out_where_there_is_no_room_for_them(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = make_model()
    monkeypatch.setattr(ten_steps, "free_bytes", lambda device: 1000)
    before = fingerprints(loaded.model)
    checks = try_out(loaded, examples, stage_of(FULL), tmp_path)
    assert statuses(checks) == {"ten steps": "warning"}
    assert "left out: on one process they need" in checks["ten steps"].message
    assert fingerprints(loaded.model) == before


def test_where_not_even_the_rows_fit_it_is_said(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may run out in the first forward pass, long before a step."""

    def refuse(trial: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Trial, "settled_loss", refuse)
    checks = try_out(make_model(), examples, stage_of(FULL), tmp_path)
    assert statuses(checks) == {"one step": "failure"}
    assert "gradient_checkpointing" in checks["one step"].hint
    assert checks["trial"].status == "pass"


def test_a_gpu_needs_main_memory_for_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trial puts back waits in main memory, of which a job may have little beside a large GPU."""
    monkeypatch.setattr(ten_steps, "free_bytes", lambda device: 2**30 if device.type == "cpu" else 2**40)
    weights = {"weight": nn.Parameter(torch.empty(2**29, device="meta"))}
    trial = SimpleNamespace(learning=weights, loaded=SimpleNamespace(device=torch.device("cuda")), stage=stage_of(FULL))
    check = ten_steps.lacking_room(trial, "ddp")
    assert check is not None
    assert "they need 2.00 GiB of main memory, and 1.00 GiB are free" in check.message


def test_a_job_may_have_less_memory_than_its_machine(tmp_path: Path) -> None:
    job = tmp_path / "slurm" / "job_7"
    job.mkdir(parents=True)
    for folder, most in ((job, "4000"), (job.parent, "max")):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text("3000\n")
        (folder / "memory.stat").write_text("anon 2500\ninactive_file 500\n")
    assert list(allowed_bytes(tmp_path, "slurm/job_7")) == [1500]
    assert list(allowed_bytes(tmp_path, "elsewhere")) == []


@pytest.mark.parametrize(
    ("content", "group"), [("0::/slurm/job_7\n", "slurm/job_7"), ("5:cpu:/\n0::/\n", ""), ("4:memory:/x\n", "")]
)
def test_a_process_knows_its_group(content: str, group: str, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(content)
    assert own_cgroup(tmp_path / "cgroup") == group
    assert own_cgroup(tmp_path / "nothing") == ""


@pytest.mark.parametrize(("engine", "status"), [("ddp", "failure"), ("zero3", "warning")])
def test_a_step_that_does_not_fit_fails_unless_an_engine_spreads_it(
    engine: str,
    status: str,
    make_model: MakeModel,
    examples: tuple[Example, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(trial: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    monkeypatch.setattr(Trial, "gradients", refuse)
    checks = try_out(make_model(), examples, stage_of(FULL), tmp_path)
    assert statuses(checks) == {"one step": status}
    assert "do not fit into memory: CUDA out of memory" in checks["one step"].message


def test_ten_steps_that_do_not_fit_are_left_out(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.optim.AdamW, "step", refuse)
    checks = try_out(make_model(), examples, stage_of(FULL), tmp_path)
    assert statuses(checks) == {"ten steps": "warning"}
    assert "left out: they do not fit" in checks["ten steps"].message


# Rows with two branches.


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padding_is_no_harm_in_bfloat16(attention: str, make_model: MakeModel, examples: tuple[Example, ...]) -> None:
    loaded = make_model(dtype="bfloat16", attn_implementation=attention)
    check = check_packing(loaded, stage_of(FULL), contexts_of(loaded, examples))
    assert check.status == "pass", check.message


@pytest.mark.usefixtures("two_gpu_failure")
def test_the_mask_of_the_two_gpu_failure_is_found(make_model: MakeModel, examples: tuple[Example, ...]) -> None:
    loaded = make_model(dtype="bfloat16", attn_implementation="eager")
    check = check_packing(loaded, stage_of(FULL), contexts_of(loaded, examples))
    assert check.status == "failure"
    assert "no number in a row of two questions with padding (eager attention, bfloat16)" in check.message


def test_questions_that_see_each_other_are_found(
    make_model: MakeModel, enliven: Callable[[Any], Any], examples: tuple[Example, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = branches_loss.attention_mask

    def causal(model: nn.Module, queries: Any, keys: Any, dtype: torch.dtype) -> Any:
        one = replace(queries, branch_numbers=queries.branch_numbers.clamp(max=1))
        return real(model, one, one, dtype)

    monkeypatch.setattr(branches_loss, "attention_mask", causal)
    loaded = enliven(make_model())
    check = check_packing(loaded, stage_of(FULL), contexts_of(loaded, examples))
    assert check.status == "failure"
    assert "% apart" in check.message


def test_a_question_that_stands_alone_is_asked_twice(make_model: MakeModel, examples: tuple[Example, ...]) -> None:
    contexts = contexts_of(make_model(), examples)
    alone: list[Encoded] = [context.with_branches(context.branches[:1]) for context in contexts]
    pair = choose_pair(alone)
    assert pair.branches[0] is pair.branches[1]
    assert len(choose_pair(contexts).branches) == 2
    assert choose_pair(contexts).branches[0] is not choose_pair(contexts).branches[1]


# Where the run writes.


def test_a_folder_that_cannot_be_written_fails(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = make_model()

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "save_trained", refuse)
    checks = try_out(loaded, examples, stage_of(MIXED), tmp_path / "runs")
    assert statuses(checks) == {"checkpoint": "failure"}
    assert f"cannot be written and read in {tmp_path}" in checks["checkpoint"].message
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_lacks_what_was_learned_fails(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As peft's own checkpoint, which leaves a fully tuned projector out without a word."""
    real = writing.save_trained

    def adapters_only(loaded: Loaded, folder: Path) -> None:
        real(loaded, folder)
        (folder / "parts" / "projector.safetensors").unlink()

    monkeypatch.setattr(writing, "save_trained", adapters_only)
    checks = try_out(make_model(), examples, stage_of(MIXED), tmp_path)
    assert statuses(checks) == {"checkpoint": "failure"}
    assert "first: model.multi_modal_projector" in checks["checkpoint"].message


@pytest.mark.parametrize(
    ("optim", "limit", "free", "status"),
    [
        ("adamw_torch", 2, 3 * 3 * GIB, "pass"),
        ("adamw_torch", 2, 3 * 3 * GIB - 1, "failure"),
        ("adamw_torch", 4, 5 * 3 * GIB - 1, "failure"),
        ("sgd", 1, 3 * GIB, "pass"),
        ("sgd", 1, 3 * GIB - 1, "failure"),
    ],
)
def test_the_checkpoints_to_come_must_fit_the_disk(
    optim: str, limit: int, free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 1 GiB: with AdamW's states 3, and so many checkpoints as are there at once."""
    monkeypatch.setattr(writing, "free_disk_bytes", lambda folder: free)
    weights = nn.Parameter(torch.empty(GIB // 4, device="meta"))
    stage = stage_of(FULL, optim=optim, save_total_limit=limit)
    assert check_disk(stage, checkpoint_bytes(stage, [weights], GIB), tmp_path, standing=0).status == status


def test_what_the_stages_before_leave_on_the_disk_is_counted(
    make_model: MakeModel, examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage's checkpoints hold the parts that stages before it have changed, and theirs stay beside them."""
    monkeypatch.setattr(writing, "free_disk_bytes", lambda folder: 10 * GIB)
    loaded = make_model()
    contexts = contexts_of(loaded, examples)
    alone = stage_of({"projector": "full"}, save_total_limit=3).model_copy(update={"name": "alone"})
    after = alone.model_copy(update={"name": "after"})
    language = stage_of({"language": LORA}, save_total_limit=1)

    def sizes(*stages: Stage, begun: tuple[str, ...] = ()) -> list[tuple[float, float]]:
        """What is written as a checkpoint, and what must fit the disk in all, in MiB."""
        found = preflight_stages(
            loaded, [(stage, contexts) for stage in stages], seed=1, max_tokens=512, folder=tmp_path, begun=begun
        )
        checks = {check.name: check.message for tried in found.values() for check in tried}
        return [
            (
                float(re.search(r"^(.*?) MiB written", checks[f"checkpoint of {name}"])[1]),
                float(re.search(r": (.*?) MiB; 10.00 GiB are free", checks[f"disk of {name}"])[1]),
            )
            for name in found
        ]

    ((own, needed),) = sizes(alone)
    everything = 4 * sum(each.parameter.numel() for each in loaded.parts.parameters_of(loaded.model, "language"))
    adapted, (second, needed_in_all) = sizes(language, after)
    assert second == pytest.approx(own + everything / 2**20, rel=0.02)
    states = needed / 4 - own
    assert needed_in_all == pytest.approx(4 * (second + states) + adapted[1] * 2 / 3, rel=0.02)
    assert sizes(language, after, begun=("tune",)) == [(second, pytest.approx(4 * (second + states), rel=0.02))]


@pytest.mark.parametrize(("limit", "count"), [(1, 3), (2, 3), (3, 4)])
def test_last_best_and_the_one_being_written_are_counted(limit: int, count: int) -> None:
    assert most_checkpoints(stage_of(FULL, save_total_limit=limit).train) == count


# Learning rates.


@pytest.mark.parametrize(
    ("tune", "rate", "settled", "status"),
    [
        (FULL, 1e-3, True, "warning"),
        (FULL, 1e-3, False, "pass"),
        (FULL, 2e-5, True, "pass"),
        ({"projector": "full"}, 1e-3, True, "pass"),
        ({"language": LORA}, 1e-6, True, "warning"),
        ({"language": LORA}, 2e-4, True, "pass"),
        ({"language": LORA}, 1e-2, True, "warning"),
    ],
)
def test_learning_rates_far_from_the_usual_are_noted(
    tune: dict[str, Any], rate: float, settled: bool, status: str, make_model: MakeModel
) -> None:
    loaded = make_model()
    if settled:
        loaded = replace(loaded, random_parts=frozenset())
    check = check_learning_rates(loaded, stage_of(tune, learning_rate=rate))
    assert check.status == status, check.message


# Fingerprints.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("size", [0, 1, 7, 64, 1001])
def test_a_fingerprint_is_that_of_equal_bits_alone(dtype: torch.dtype, size: int) -> None:
    tensor = torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(1)).to(dtype)
    assert fingerprint(tensor) == fingerprint(tensor.clone())
    for place in range(0, size, 13):
        other = tensor.clone()
        other[place] = 1 - other[place].to(torch.int64)
        assert fingerprint(other) != fingerprint(tensor)


def test_a_fingerprint_sees_constants_and_exchanges() -> None:
    ones = torch.ones(64)
    assert fingerprint(ones) != fingerprint(ones * 1.0001)
    numbers = torch.arange(64.0)
    assert fingerprint(numbers) != fingerprint(numbers.flip(0))
    assert fingerprint(numbers[1:]) == fingerprint(numbers[1:].clone()), "a view has the bits of its copy"
