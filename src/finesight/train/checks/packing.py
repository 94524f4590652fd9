"""The check that this very model computes rows with branches as it computes rows of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.train.batches import make_batch
from finesight.train.checks.check import Check
from finesight.train.checks.formats import remedy_for_no_number, spoken
from finesight.train.checks.trial_step import computing_format, losses_of

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far the losses of tokens may be apart, as a share of the loss: what rounding in a format explains."""


def check_packing(loaded: Loaded, stage: Stage, learned: Sequence[Encoded]) -> Check:
    """Compare the losses of two questions behind one context, in a batch with padding, with those of separate rows."""
    name = f"rows of {stage.name}"
    if not loaded.traits.takes_custom_mask:
        return Check(name, "pass", "every example has a row of its own")
    pair = choose_pair(learned)
    first, second = (pair.with_branches((branch,)) for branch in pair.branches)
    shorter = min(first, second, key=lambda row: row.tokens)
    together = _losses(loaded, stage, [pair, shorter])
    alone = torch.cat([_losses(loaded, stage, [row]) for row in (first, second, shorter)])
    dtype = computing_format(loaded, stage.train)
    how = f"{loaded.model.config.get_text_config()._attn_implementation} attention, {spoken(dtype)}"
    if not bool(alone.isfinite().all()):
        return Check(
            name,
            "failure",
            f"the loss of a question in a row of its own is no number ({how})",
            hint=remedy_for_no_number(dtype),
        )
    if not bool(together.isfinite().all()):
        return Check(
            name,
            "failure",
            f"the loss is a number in rows of their own, and no number in a row of two questions with padding ({how})",
            hint="set model.attn_implementation: sdpa; a query that sees nothing is no number in eager attention",
        )
    apart = float((together - alone).abs().mean() / alone.abs().mean())
    if apart > TOLERANCE[dtype]:
        return Check(
            name,
            "failure",
            f"the losses of two questions in one row and in rows of their own are {100 * apart:.2g} % apart ({how}): a "
            "question does not see just its context and itself",
            hint="set model.attn_implementation: sdpa or eager, which take the mask that rows with branches need",
        )
    return Check(
        name,
        "pass",
        f"two questions in one row have the losses of rows of their own, to {100 * apart:.1g} % ({how}; "
        f"{100 * TOLERANCE[dtype]:g} % is rounding)",
    )


def choose_pair(learned: Sequence[Encoded]) -> Encoded:
    """Return the shortest context with two questions that teach, cut to them; where there is none, one asked twice."""
    teaching = (
        context.with_branches(tuple(branch for branch in context.branches if branch.learned_tokens))
        for context in learned
    )
    ranked = min(
        (context for context in teaching if context.branches),
        key=lambda context: (len(context.branches) < 2, len(context.prefix_ids)),
    )
    return ranked.with_branches((ranked.branches * 2)[:2])


@torch.no_grad()
def _losses(loaded: Loaded, stage: Stage, rows: Sequence[Encoded]) -> torch.Tensor:
    loaded.model.eval()
    batch = make_batch(rows, loaded.formatter).to(loaded.device, loaded.model.dtype)
    return losses_of(loaded, batch, stage.train)
