"""How much is in the model at once: what a person says, else what is free when measuring, and a fixed number else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import Finesight, WriteRecipe

TASKS = [
    {"name": "held_out", "from": "test", "max_new_tokens": 4},
    {"name": "watched", "from": "validation", "max_new_tokens": 4},
]


@pytest.mark.parametrize(
    ("options", "measuring", "training"),
    [((), None, 8192), (("--max-tokens-per-device", 256), 256, 256)],
    ids=["nothing said", "said"],
)
def test_training_keeps_to_its_tokens_while_measuring_takes_what_is_free(
    options: tuple[object, ...],
    measuring: int | None,
    training: int,
    finesight: Finesight,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, set[int | None]] = {}

    def noting(name: str) -> Callable[..., Any]:
        from finesight import run

        real = getattr(run, name)

        def call(*arguments: Any, **settings: Any) -> Any:
            given.setdefault(name, set()).add(settings["max_tokens"])
            return real(*arguments, **settings)

        return call

    for name in ("evaluate_all", "fit", "probe"):
        monkeypatch.setattr(f"finesight.run.{name}", noting(name))
    train = {"max_steps": 2, "global_batch_size": 4, "learning_rate": 1e-3, "eval_steps": 1}
    ended = finesight("run", write_recipe(evaluate=TASKS, train=train), "--output", tmp_path / "run", *options)
    assert ended.code == 0, ended.stderr
    assert given == {"evaluate_all": {measuring}, "fit": {training}, "probe": {training}}
