"""What an engine cannot train is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from training_setup import contexts_of

from finesight.errors import UserError
from finesight.models.loaded import Loaded
from finesight.processes import joined
from finesight.recipe.recipe import Recipe
from finesight.runtime import ENGINE_VARIABLE, chosen_engine, require_one_process
from finesight.schema import Example
from finesight.train import engines
from finesight.train.batches import PlannedSteps
from finesight.train.engines import require_alike_rows, require_fitting_engine

QUANTISED = {"kind": "llava", "name_or_path": "model", "quantization": {"bnb_4bit_quant_type": "nf4"}}


def recipe_of(model: dict[str, Any] | None = None, **train: Any) -> Recipe:
    return Recipe.model_validate({
        "name": "trial",
        "model": model or {"kind": "llava", "name_or_path": "model"},
        "data": {"train": [{"kind": "scenes"}]},
        "tune": {"language": {"method": "lora", "r": 4}},
        "train": train,
        "evaluate": [{"name": "held_out", "from": "test"}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "recipe", "keep", "told"),
    [
        ("fsdp", recipe_of(optim="muon"), "none", "train.optim: muon"),
        ("zero2", recipe_of(optim="paged_adamw_8bit"), "none", "train.optim: paged_adamw_8bit"),
        ("zero3", recipe_of(fp16=True), "none", "train.fp16"),
        ("fsdp", recipe_of(fp16=True), "none", "train.fp16"),
        ("zero2", recipe_of(guards={"on_bad_loss": "skip"}), "none", "train.guards"),
        ("zero3", recipe_of(QUANTISED), "none", "quantised weights"),
        ("fsdp", recipe_of(), "features", "kept features"),
        ("ddp", recipe_of(QUANTISED, optim="muon", fp16=True), "features", None),
        ("fsdp", recipe_of(bf16=True), "pixels", None),
    ],
)
def test_what_an_engine_cannot_do_is_refused_with_a_way_out(
    engine: str, recipe: Recipe, keep: Any, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    if told is None:
        require_fitting_engine(recipe, keep)
        return
    with pytest.raises(UserError, match=told) as caught:
        require_fitting_engine(recipe, keep)
    assert caught.value.hint


def test_an_engine_whose_library_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "zero3")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs DeepSpeed") as caught:
        require_fitting_engine(recipe_of(), "none")
    assert "finesight[deepspeed]" in caught.value.hint


def test_an_engine_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "zero1")
    with pytest.raises(UserError, match="no engine zero1") as caught:
        chosen_engine()
    assert "zero2-offload" in caught.value.hint


def test_what_one_process_does_alone_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    require_one_process()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="started as 2 processes"):
        require_one_process()


def test_processes_that_cannot_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="RANK is not set") as caught, joined():
        pass
    assert "finesight launch" in caught.value.hint


def test_rows_with_and_without_an_image_do_not_go_through_pieces(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = contexts_of(make_model(), examples)
    require_alike_rows(contexts)
    monkeypatch.setenv(ENGINE_VARIABLE, "fsdp")
    require_alike_rows([context for context in contexts if context.images])
    with pytest.raises(UserError, match="some examples have an image and others none"):
        require_alike_rows(contexts)


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_where_the_model_is_in_pieces_all_ranks_pass_through_it_equally_often(
    ranks: int, make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    loaded = make_model()
    step = tuple(contexts_of(loaded, examples))
    shares = [
        PlannedSteps([step], loaded.formatter, max_tokens=60, rank=rank, ranks=ranks, in_step=True)[0]
        for rank in range(ranks)
    ]
    assert len({len(share.batches) + len(share.idle) for share in shares}) == 1
    learned = [example.id for share in shares for batch in share.batches for example, _ in batch.learned]
    assert sorted(learned) == sorted(example.id for example in examples), "what is idle is nobody's example"
