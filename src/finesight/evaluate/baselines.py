"""What guessing gives: the most frequent answer, overall and for each type of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from finesight.errors import UserError
from finesight.evaluate.metrics.metrics import metric_named
from finesight.schema import OWN_SETS, Example, Prediction, TaskExamples

FROM_TRAIN = "train"
FROM_TASK = "the task itself"


def majority_from(drawn_from: str) -> str:
    """Return what the majority answer of a task may look at.

    A task on one of the run's own sets is guessed from the training set. One with a source of its own is guessed
    from its own references, the best that any constant answer can reach.
    """
    return FROM_TRAIN if drawn_from in OWN_SETS else FROM_TASK


def majority_predictions(task: TaskExamples, learned: Sequence[Example]) -> list[Prediction]:
    """Return the same answer to every question: the most frequent right one.

    Raises `UserError` when there is nothing to count.
    """
    answer = _most_frequent(_may_look_at(task, learned), metric_named(task.metric).normalise)
    return [Prediction(example.id, answer) for example in task.examples]


def majority_by_question_type_predictions(task: TaskExamples, learned: Sequence[Example]) -> list[Prediction]:
    """Return for every question the most frequent right answer of its type; of an unseen type, the overall one.

    Raises `UserError` when there is nothing to count.
    """
    normalise = metric_named(task.metric).normalise
    seen = _may_look_at(task, learned)
    overall = _most_frequent(seen, normalise)
    by_type: dict[str, list[Example]] = {}
    for example in seen:
        by_type.setdefault(example.question_type, []).append(example)
    answers = {question_type: _most_frequent(examples, normalise) for question_type, examples in by_type.items()}
    return [Prediction(example.id, answers.get(example.question_type, overall)) for example in task.examples]


def _may_look_at(task: TaskExamples, learned: Sequence[Example]) -> list[Example]:
    if majority_from(task.drawn_from) == FROM_TASK:
        seen = list(task.examples)
    else:
        seen = [example for example in learned if example.role == "train"]
    if not any(example.references for example in seen):
        raise UserError(f"{task.name}: there is no answer to take the most frequent of")
    return seen


def _most_frequent(examples: Iterable[Example], normalise: Callable[[str], str]) -> str:
    """Return the answer that is right for the most examples, in its most frequent spelling; ties go by alphabet."""
    right_for: Counter[str] = Counter()
    spellings: dict[str, Counter[str]] = {}
    for example in examples:
        right_for.update({normalise(reference) for reference in example.references})
        for reference in example.references:
            spellings.setdefault(normalise(reference), Counter())[reference] += 1
    return _first(spellings[_first(right_for)])


def _first(counts: Counter[str]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))
