"""How branches lie in a row, who sees whom, and that gathering and dividing lose nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import Gemma2Config, Gemma2ForCausalLM

from finesight.branches.contexts import batch_rows, divide_context, share_contexts
from finesight.branches.layout import PADDING, PREFIX, lay_out
from finesight.branches.mask import Places, additive, attention_mask, who_is_seen
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example, Turn

PAD = 9


def example(name: str) -> Example:
    return Example(name, name, (), (Turn("user", "?"), Turn("assistant", "!", learned=True)), ("!",))


@st.composite
def contexts(draw: st.DrawFn, name: str = "c") -> Encoded:
    """A context of one to six branches, each of one to seven tokens, some of them learned."""
    branches = []
    for number in range(draw(st.integers(1, 6))):
        ids = np.array(draw(st.lists(st.integers(10, 99), min_size=1, max_size=7)), dtype=np.int32)
        learned = np.array([False, *draw(st.lists(st.booleans(), min_size=len(ids) - 1, max_size=len(ids) - 1))])
        branches.append(Branch(example(f"{name}{number}"), ids, np.where(learned, ids, UNLEARNED).astype(np.int32)))
    prefix = np.array(draw(st.lists(st.integers(10, 99), min_size=1, max_size=5)), dtype=np.int32)
    return Encoded(prefix, (), tuple(branches))


rows_of_contexts = st.lists(contexts(), min_size=1, max_size=4)


def names(rows: Sequence[Encoded]) -> list[str]:
    return [branch.example.id for row in rows for branch in row.branches]


@given(rows_of_contexts)
def test_every_branch_counts_from_the_end_of_its_prefix(rows: list[Encoded]) -> None:
    layout = lay_out(rows, padding_id=PAD)
    for index, row in enumerate(rows):
        prefix = layout.branch_numbers[index] == PREFIX
        assert layout.input_ids[index][prefix].tolist() == row.prefix_ids.tolist()
        assert layout.position_ids[index][prefix].tolist() == list(range(len(row.prefix_ids)))
        for number, branch in enumerate(row.branches, start=1):
            own = layout.branch_numbers[index] == number
            assert layout.input_ids[index][own].tolist() == branch.ids.tolist()
            first = len(row.prefix_ids)
            assert layout.position_ids[index][own].tolist() == list(range(first, first + len(branch.ids)))
        padding = layout.branch_numbers[index] == PADDING
        assert int(padding.sum()) == layout.input_ids.shape[1] - row.tokens
        assert set(layout.input_ids[index][padding].tolist()) <= {PAD}


@given(rows_of_contexts)
def test_labels_are_moved_by_one_within_a_branch_and_never_over_its_edge(rows: list[Encoded]) -> None:
    layout = lay_out(rows, padding_id=PAD)
    for index, row in enumerate(rows):
        for number, branch in enumerate(row.branches, start=1):
            own = layout.next_labels[index][layout.branch_numbers[index] == number]
            assert own.tolist() == [*branch.labels[1:].tolist(), UNLEARNED]
        elsewhere = layout.branch_numbers[index] <= PREFIX
        assert set(layout.next_labels[index][elsewhere].tolist()) <= {UNLEARNED}
    assert int(layout.learned.sum()) == sum(row.learned_tokens for row in rows)


def test_a_branch_that_opens_with_a_learned_token_is_refused() -> None:
    ids = np.array([11, 12], dtype=np.int32)
    row = Encoded(ids, (), (Branch(example("c"), ids, ids),))
    with pytest.raises(AssertionError, match="must open with an unlearned token"):
        lay_out([row], padding_id=PAD)


# Who sees whom.


@given(rows_of_contexts)
def test_a_token_sees_its_prefix_and_itself_before_it_and_nothing_else(rows: list[Encoded]) -> None:
    numbers = lay_out(rows, padding_id=PAD).branch_numbers
    who = who_is_seen(numbers, numbers)
    assert who.shape == (len(rows), numbers.shape[1], numbers.shape[1])
    for row, branch_of in enumerate(numbers.tolist()):
        for query, mine in enumerate(branch_of):
            seen = set(torch.nonzero(who[row, query]).flatten().tolist())
            if mine == PADDING:
                visible = {key for key in range(query) if branch_of[key] == PREFIX} | {query}
            else:
                visible = {key for key in range(query + 1) if branch_of[key] in (PREFIX, mine)}
            assert seen == visible


@given(rows_of_contexts, st.integers(1, 5))
def test_the_mask_of_the_last_queries_is_the_end_of_the_whole_mask(rows: list[Encoded], queries: int) -> None:
    numbers = lay_out(rows, padding_id=PAD).branch_numbers
    queries = min(queries, numbers.shape[1])
    assert torch.equal(who_is_seen(numbers[:, -queries:], numbers), who_is_seen(numbers, numbers)[:, -queries:])


@given(rows_of_contexts, st.data())
def test_a_two_way_prefix_sees_itself_whole_and_nothing_else_changes(rows: list[Encoded], data: st.DataObject) -> None:
    two_way = [replace(row, two_way_tokens=data.draw(st.integers(0, len(row.prefix_ids)))) for row in rows]
    causal, both = (lay_out(some, padding_id=PAD).branch_numbers for some in (rows, two_way))
    who, who_both = who_is_seen(causal, causal), who_is_seen(both, both)
    for index, row in enumerate(two_way):
        tokens = row.two_way_tokens
        assert who_both[index, :tokens, :tokens].all()
        who_both[index, :tokens, :tokens] = who[index, :tokens, :tokens]
    assert torch.equal(who, who_both)
    assert lay_out(two_way, padding_id=PAD).tokens == sum(row.tokens for row in rows)


@given(rows_of_contexts, st.integers(1, 8))
def test_a_sliding_window_is_cut_by_position(rows: list[Encoded], window: int) -> None:
    config = Gemma2Config(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, sliding_window=window,
    )  # fmt: skip
    places = Places.of(lay_out(rows, padding_id=PAD))
    mask = attention_mask(Gemma2ForCausalLM(config), places, places, torch.float32)
    assert isinstance(mask, dict)
    who = who_is_seen(places.branch_numbers, places.branch_numbers)
    assert torch.equal(mask["full_attention"], additive(who, torch.float32))
    for row, query, key in itertools.product(range(len(rows)), *[range(who.shape[1])] * 2):
        near = int(places.positions[row, query] - places.positions[row, key]) < window
        assert (mask["sliding_attention"][row, 0, query, key] == 0) == (bool(who[row, query, key]) and near)


@given(rows_of_contexts, st.integers(2, 3))
def test_positions_of_several_axes_go_on_behind_the_highest(rows: list[Encoded], axes: int) -> None:
    grids = [
        replace(row, prefix_positions=np.stack([np.arange(len(row.prefix_ids)) // (axis + 1) for axis in range(axes)]))
        for row in rows[1:]
    ]
    drawn = [rows[0], *grids]
    layout = lay_out(drawn, padding_id=PAD)
    assert layout.position_ids.shape == ((axes, *layout.input_ids.shape) if grids else layout.input_ids.shape)
    positions = layout.position_ids.reshape(-1, *layout.input_ids.shape)
    for index, row in enumerate(drawn):
        end = len(row.prefix_ids)
        expected = np.arange(end)[None] if row.prefix_positions is None else row.prefix_positions
        assert (positions[:, index, :end].numpy() == expected).all()
        for number, branch in enumerate(row.branches, start=1):
            own = positions[:, index, layout.branch_numbers[index] == number].numpy()
            assert (own == expected.max() + 1 + np.arange(len(branch.ids))).all()
    longer = [row.with_longer_prefix(row.branches[0].ids) for row in drawn]
    for row, more in zip(drawn, longer, strict=True):
        assert more.branch_position == row.branch_position + len(row.branches[0].ids)
        assert more.tokens == row.tokens + len(row.branches[0].ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@given(rows=rows_of_contexts)
def test_the_mask_is_finite_and_every_query_sees_something(dtype: torch.dtype, rows: list[Encoded]) -> None:
    numbers = lay_out(rows, padding_id=PAD).branch_numbers
    mask = additive(who_is_seen(numbers, numbers), dtype)
    assert mask.dtype == dtype
    assert torch.isfinite(mask).all()
    # Eager attention adds the mask to the scores, which may be large and negative themselves.
    weights = torch.softmax(mask + torch.full_like(mask, -30.0), dim=-1)
    assert torch.isfinite(weights).all()
    assert (weights[mask != 0] == 0).all()


# Gathering and dividing.


@given(contexts(), st.integers(1, 40), st.integers(0, 4))
def test_dividing_a_context_loses_and_doubles_nothing(context: Encoded, max_tokens: int, reserve: int) -> None:
    rows = divide_context(context, max_tokens=max_tokens, reserve=reserve)
    assert names(rows) == names([context])
    for row in rows:
        assert row.prefix_ids is context.prefix_ids
        assert row.tokens + reserve * len(row.branches) <= max_tokens or len(row.branches) == 1


@given(contexts(), st.integers(1, 40))
def test_no_two_rows_of_a_context_would_fit_into_one(context: Encoded, max_tokens: int) -> None:
    rows = divide_context(context, max_tokens=max_tokens)
    for row, following in itertools.pairwise(rows):
        assert row.tokens + len(following.branches[0].ids) > max_tokens


@given(rows_of_contexts, st.integers(1, 120), st.integers(0, 4))
def test_batching_rows_loses_and_doubles_nothing(rows: list[Encoded], max_tokens: int, reserve: int) -> None:
    batches = batch_rows(rows, max_tokens=max_tokens, reserve=reserve)
    assert Counter(id(row) for batch in batches for row in batch) == Counter(map(id, rows))
    for batch in batches:
        longest = max(row.tokens + reserve * len(row.branches) for row in batch)
        assert longest * len(batch) <= max_tokens or len(batch) == 1


@dataclass(frozen=True)
class Picture:
    """An image that nobody opens."""

    name: str

    def open(self) -> Image.Image:
        raise AssertionError("gathering decodes no image")

    def content_hash(self) -> str:
        return self.name


@given(st.lists(contexts(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_gathering_questions_gives_each_context_once_with_all_its_questions(
    drawn: list[Encoded], generator: Random
) -> None:
    shown = [Encoded(row.prefix_ids, (Picture(str(number)),), row.branches) for number, row in enumerate(drawn)]
    singles = [context.with_branches((branch,)) for context in shown for branch in context.branches]
    generator.shuffle(singles)
    gathered = share_contexts(singles)
    assert [row.images for row in gathered] == list(dict.fromkeys(single.images for single in singles))
    for row in gathered:
        (own,) = (context for context in shown if context.images == row.images)
        assert Counter(map(id, row.branches)) == Counter(map(id, own.branches))


def test_questions_without_an_image_share_a_context_within_their_group_alone() -> None:
    prefix, ids = np.array([1], dtype=np.int32), np.array([11], dtype=np.int32)
    labels = np.array([UNLEARNED], dtype=np.int32)
    asked = [replace(example(str(number)), group=group) for number, group in enumerate("aba")]
    gathered = share_contexts(Encoded(prefix, (), (Branch(each, ids, labels),)) for each in asked)
    assert [names([row]) for row in gathered] == [["0", "2"], ["1"]]


def test_equal_prefixes_of_different_images_are_different_contexts(examples: tuple[Example, ...]) -> None:
    prefix, ids = np.array([1, 2], dtype=np.int32), np.array([11], dtype=np.int32)
    labels = np.array([UNLEARNED], dtype=np.int32)
    singles = [Encoded(prefix, example.images, (Branch(example, ids, labels),)) for example in examples]
    assert [len(context.branches) for context in share_contexts(singles)] == [3, 2, 1, 1]
