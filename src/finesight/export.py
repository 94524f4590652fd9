"""Table of contents: from a run to a folder that transformers loads, which answers as the tuned model did."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from finesight.evaluate.agreement import Agreement, answer_both_ways, compare_answers
from finesight.exporting.card import write_card
from finesight.exporting.merge import is_rounded, merge_for_good
from finesight.exporting.place import (
    put_in_place,
    require_exportable,
    require_free,
    require_room,
    require_same,
    written_beside,
)
from finesight.exporting.questions import draw_questions, put_into_tokens
from finesight.models.export import exported_spec, published_dtype, save_checkpoint
from finesight.models.load import choose_dtype, load_model
from finesight.opening import load_best, open_untuned
from finesight.rundir import RunDir


def export_run(
    run: RunDir,
    target: Path,
    *,
    dtype: str | None = None,
    questions: int = 100,
    max_tokens: int | None = None,
) -> Agreement:
    """Write a run's tuned model into a folder that transformers loads, and make sure that it answers the same.

    `dtype` is the weights' number format, by default the one of the published checkpoint. Raises `CheckFailed` when the
    folder, loaded anew, does not answer held-out questions as the tuned model did; it then lies beside `target`.
    """
    require_exportable(run)
    require_free(target)
    model = run.recipe.model
    asked = draw_questions(run.recipe, run.data_root, questions)
    loaded = open_untuned(run)
    load_best(loaded, run)
    number_format = choose_dtype(dtype) if dtype else published_dtype(model, loaded, run.data_root)
    require_room(loaded, number_format, target)
    rounded = is_rounded(loaded, number_format)
    answer = partial(answer_both_ways, max_tokens=max_tokens)
    tuned = answer(loaded, put_into_tokens(loaded.formatter, asked, run.recipe))

    merge_for_good(loaded, run)
    with written_beside(target) as folder:
        save_checkpoint(model, loaded, folder, number_format)
        del loaded
        exported = load_model(exported_spec(model, folder), data_root=run.data_root)
        answered = answer(exported, put_into_tokens(exported.formatter, asked, run.recipe))
        agreement = compare_answers(tuned, answered, rounded=rounded)
        require_same(agreement, folder, target)
        write_card(run, exported, agreement, number_format, folder)
        put_in_place(folder, target)
    return agreement
