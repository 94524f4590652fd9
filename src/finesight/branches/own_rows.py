"""Questions in rows of their own, for families that share no contexts: mask and positions are the family's own.

PaliGemma's image and question see each other both ways, so behind another question the image is another one. Such a
model gets what its own processor would give it: ids, a mask of what is padding, and the family's own inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers.generation import StoppingCriteriaList

from finesight.branches.answer import Answer, never_complete
from finesight.branches.choose_token import ChooseTokens, how_to_choose
from finesight.branches.images import image_arguments
from finesight.branches.layout import PADDING, Layout, lay_out
from finesight.models.encoded import Encoded
from finesight.models.pixels import Pixels
from finesight.schema import Sampling


def own_row_arguments(layout: Layout, row_inputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return what the family's forward pass takes beside ids and images: `attention_mask` is int[rows, tokens]."""
    return {"attention_mask": (layout.branch_numbers != PADDING).long(), **row_inputs}


@torch.inference_mode()
def answer_own_rows(
    model: nn.Module,
    rows: Sequence[Encoded],
    pixels: Pixels | None,
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    padding_id: int,
    placeholder_id: int | None,
    dtype: torch.dtype,
    device: torch.device,
    sampling: Sampling | None = None,
    is_complete: Callable[[Sequence[int]], bool] = never_complete,
) -> list[list[Answer]]:
    """Return the answer to the one question of every row, as `answer_branches` does for rows that are shared.

    transformers' own `generate` goes from token to token, since it knows how the family counts; which token comes next
    is chosen as everywhere else, and not by what the checkpoint recommends for its chat.
    """
    layout = _pad_left(lay_out(rows, padding_id=padding_id).to(device))
    assert layout.row_inputs is not None, "these rows are not shared"
    asked = layout.input_ids.shape[1]
    generator = next(module for module in model.modules() if isinstance(module, GenerationMixin))
    with _nothing_recommended(generator):
        written = generator.generate(
            input_ids=layout.input_ids,
            **own_row_arguments(layout, layout.row_inputs),
            **image_arguments(model, pixels),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(end_ids),
            pad_token_id=padding_id,
            logits_processor=LogitsProcessorList([_OurChoice(how_to_choose(rows, sampling), placeholder_id)]),
            stopping_criteria=StoppingCriteriaList([_Complete(asked, is_complete)]),
        )
    return [[_read(ids, end_ids, is_complete)] for ids in written[:, asked:].tolist()]


def _pad_left(layout: Layout) -> Layout:
    """Return the same rows with their padding on the left, so that all of them go on at their end."""
    padding = (layout.branch_numbers == PADDING).sum(dim=1, keepdim=True)
    places = (torch.arange(layout.input_ids.shape[1], device=padding.device) - padding) % layout.input_ids.shape[1]

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.gather(1, places)

    assert layout.row_inputs is not None
    inputs = {name: moved(tensor) for name, tensor in layout.row_inputs.items()}
    return Layout(
        moved(layout.input_ids),
        moved(layout.position_ids),
        moved(layout.branch_numbers),
        moved(layout.next_labels),
        inputs,
    )


@contextmanager
def _nothing_recommended(generator: GenerationMixin) -> Iterator[None]:
    """Take away what the checkpoint recommends for generation, as a penalty for repeating: shared rows know no such."""
    recommended = generator.generation_config
    generator.generation_config = GenerationConfig()
    try:
        yield
    finally:
        generator.generation_config = recommended


class _OurChoice(LogitsProcessor):  # type: ignore[misc]
    """Leaves the token that we choose as the only one possible."""

    def __init__(self, choose: ChooseTokens, placeholder_id: int | None) -> None:
        self._choose = choose
        self._placeholder_id = placeholder_id

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores, float[rows, vocabulary], 0 for the chosen token and the lowest number for all others."""
        if self._placeholder_id is not None:
            scores[:, self._placeholder_id] = torch.finfo(scores.dtype).min
        chosen = torch.tensor(self._choose(scores[:, None], [[0]] * len(scores)), device=scores.device)
        return torch.full_like(scores, torch.finfo(scores.dtype).min).scatter_(1, chosen, 0.0)


class _Complete(StoppingCriteria):  # type: ignore[misc]
    """Ends the answers that are complete by their text."""

    def __init__(self, asked_tokens: int, is_complete: Callable[[Sequence[int]], bool]) -> None:
        self._asked_tokens = asked_tokens
        self._is_complete = is_complete

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Return which answers are complete: bool[rows]."""
        answers = input_ids[:, self._asked_tokens :].tolist()
        return torch.tensor([self._is_complete(answer) for answer in answers], device=input_ids.device)


def _read(ids: Sequence[int], end_ids: frozenset[int], is_complete: Callable[[Sequence[int]], bool]) -> Answer:
    """Return the answer that was written, without what `generate` filled its row up with."""
    answer: list[int] = []
    for token in ids:
        if token in end_ids:
            return Answer(tuple(answer), ended=True)
        answer.append(token)
        if is_complete(answer):
            return Answer(tuple(answer), ended=True)
    return Answer(tuple(answer), ended=False)
