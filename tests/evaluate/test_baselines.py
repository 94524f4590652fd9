"""Guessing looks at what it may, and says the most frequent answer."""

from __future__ import annotations

import pytest
from record_making import example, task_of

from finesight.errors import UserError
from finesight.evaluate.baselines import majority_by_question_type_predictions, majority_from, majority_predictions
from finesight.schema import Example, Prediction


def texts(predictions: list[Prediction]) -> list[str]:
    return [prediction.text for prediction in predictions]


def test_the_most_frequent_training_answer_is_given_to_all() -> None:
    learned = [example(1, "no"), example(2, "Yes."), example(3, "yes"), example(4, "yes"), example(5, "no")]
    task = task_of([example(10, "no"), example(11, "no")])
    assert majority_predictions(task, learned) == [Prediction("10", "yes"), Prediction("11", "yes")]


def test_replayed_examples_and_the_test_set_are_not_looked_at() -> None:
    learned = [example(1, "left"), *(example(number, "no", role="replay") for number in range(2, 9))]
    assert texts(majority_predictions(task_of([example(10, "no")] * 3), learned)) == ["left"] * 3


def test_a_task_with_its_own_source_is_guessed_from_its_own_references() -> None:
    task = task_of([example(1, "cat"), example(2, "dog", "cat"), example(3, "dog", "hound")], drawn_from="pets.json")
    assert texts(majority_predictions(task, [example(9, "no")])) == ["cat"] * 3
    assert majority_from(task.drawn_from) == "the task itself"
    assert majority_from("validation") == "train"


def test_an_answer_counts_once_an_example_however_often_it_is_listed() -> None:
    learned = [example(1, "two", "two", "two"), example(2, "one"), example(3, "one")]
    assert texts(majority_predictions(task_of([example(9, "one")]), learned)) == ["one"]


def test_each_question_type_has_its_own_answer_and_an_unseen_one_the_overall_one() -> None:
    def typed(number: int, answer: str, question_type: str) -> Example:
        return example(number, answer, question_type=question_type)

    learned = [typed(1, "yes", "presence"), typed(2, "yes", "presence"), typed(3, "left", "position")]
    task = task_of([typed(4, "no", "position"), typed(5, "no", "presence"), typed(6, "no", "size")])
    assert texts(majority_by_question_type_predictions(task, learned)) == ["left", "yes", "yes"]


def test_equal_counts_do_not_depend_on_the_order_of_the_data() -> None:
    learned = [example(1, "b"), example(2, "a")]
    task = task_of([example(3, "a")])
    assert majority_predictions(task, learned) == majority_predictions(task, learned[::-1])


def test_nothing_to_count_is_told() -> None:
    with pytest.raises(UserError, match="held_out: there is no answer"):
        majority_predictions(task_of([example(1, "a")]), [example(2, "a", role="replay")])
