"""The dry run finds the one example in many that would teach nothing or break a step, and names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from training_setup import contexts_of

from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.data import Data
from finesight.schema import Example
from finesight.train.checks.check import Check
from finesight.train.checks.dry_run import check_every_example
from finesight.train.checks.model import check_texts


@pytest.fixture(scope="module")
def loaded(make_model: Callable[..., Loaded]) -> Loaded:
    return make_model()


def dry_run(loaded: Loaded, contexts: list[Encoded], *dropped: dict[str, Any], **data: Any) -> dict[str, Check]:
    settings = Data.model_validate({"train": [{"kind": "scenes"}], **data})
    found = check_every_example(loaded.formatter, contexts, contexts, settings, dropped)
    return {check.name: check for check in found}


def test_sound_data_pass(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    checks = dry_run(loaded, contexts_of(loaded, examples))
    assert {name: check.status for name, check in checks.items()} == {
        "over length": "pass", "learned tokens": "pass", "whole images": "pass",
    }  # fmt: skip


def test_an_example_without_a_learned_token_is_counted_and_named(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    (context, *others) = contexts_of(loaded, examples)
    first, *further = context.branches
    silent = replace(first, labels=np.full_like(first.labels, UNLEARNED))
    contexts = [context.with_branches((silent, *further)), *others]
    check = dry_run(loaded, contexts)["learned tokens"]
    assert check.status == "failure"
    assert f"1 of 7 examples have no learned token (first: {first.example.id})" in check.message
    singles = [each.with_branches((branch,)) for each in contexts for branch in each.branches]
    assert {each.status for each in check_texts(loaded.formatter, singles)} == {"pass"}
    assert list(check_texts(loaded.formatter, singles[:1])) == []


def test_an_image_that_lost_a_token_is_counted_and_named(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    (context, *others) = contexts_of(loaded, examples)
    cut = replace(context, prefix_ids=context.prefix_ids[:-1])
    check = dry_run(loaded, [cut, *others])["whole images"]
    assert check.status == "failure"
    # As learned from and as measured on.
    assert f"in {2 * len(context.branches)} examples" in check.message
    assert context.branches[0].example.id in check.message


@pytest.mark.parametrize(("over_length", "status"), [("fail", "failure"), ("drop", "warning")])
def test_what_is_over_length_is_counted_by_set(
    loaded: Loaded, examples: tuple[Example, ...], over_length: str, status: str
) -> None:
    dropped = {"source": "train", "reason": "over 9 tokens", "examples": 1200, "first": ["a:1", "a:2"]}
    check = dry_run(loaded, contexts_of(loaded, examples), dropped, over_length=over_length)["over length"]
    assert check.status == status
    assert "train: 1,200 (first: a:1, a:2)" in check.message
