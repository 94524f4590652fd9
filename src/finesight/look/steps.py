"""A stage's first step as it will be dealt into rows: the plan's own, and the collator's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finesight.look.rows import RowWriter
from finesight.models.encoded import Encoded
from finesight.recipe.recipe import Stage
from finesight.train.step_plan import deal_rows, plan_steps

MOST_ROWS = 4
"""Rows of the first batch that are shown: the longest, which come first, so they are padded as in the whole batch."""


def show_stage(
    stage: Stage, learned: Sequence[Encoded], writer: RowWriter, *, seed: int, max_tokens: int
) -> dict[str, Any]:
    """Return how many steps a stage has, and its first step laid out for one device of `max_tokens` at once.

    Raises `UserError` when a step cannot be filled.
    """
    steps = plan_steps(learned, stage.train, seed)
    (batches,) = deal_rows(steps[0], max_tokens=max_tokens, ranks=1)
    return {
        "name": stage.name,
        "steps": len(steps),
        "examples_a_step": stage.train.global_batch_size,
        "contexts": len(steps[0]),
        "max_tokens": max_tokens,
        "batches": [_measure_batch(batch) for batch in batches],
        "rows": writer.show_rows(batches[0][:MOST_ROWS], answered=True),
    }


def _measure_batch(rows: Sequence[Encoded]) -> dict[str, int]:
    tokens = sum(row.tokens for row in rows)
    return {"rows": len(rows), "tokens": tokens, "padding": len(rows) * max(row.tokens for row in rows) - tokens}
