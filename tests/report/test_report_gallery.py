"""The gallery shows a few answers, always the same, from as many images as there are."""

from __future__ import annotations

from pathlib import Path

from run_folder import write_run

from finesight.evaluate.metrics.metric import UNIT_SCORE
from finesight.report.files import read_files
from finesight.report.gallery import gallery, spread
from finesight.schema import Record


def record(number: int, group: str) -> Record:
    return Record(id=str(number), prediction="", references=("yes",), group=group)


def test_one_question_of_each_image_comes_before_a_second_of_any() -> None:
    records = [record(number, f"image{number % 3}") for number in range(30)]
    chosen = spread(records, 5)
    assert {each.group for each in chosen[:3]} == {"image0", "image1", "image2"}
    assert len(chosen) == len({each.id for each in chosen}) == 5


def test_the_choice_does_not_depend_on_the_order_of_the_records() -> None:
    records = [record(number, f"image{number % 4}") for number in range(20)]
    assert spread(records, 6) == spread(reversed(records), 6)


def test_nothing_is_scored_again(tmp_path: Path) -> None:
    """Which answers are right is what the verdict says, even where the texts look otherwise."""
    run = write_run(tmp_path / "run")
    verdict = run.load("verdict")
    ids = [each.id for each in run.records("after", "held_out")]
    verdict["tasks"][0]["right_ids"] = {"before": [], "after": ids[:7]}
    run.save("verdict", verdict)
    files = read_files(run)

    groups = {group.name: group for group in gallery(files, files.judged_tasks[0])}
    assert {name: group.total for name, group in groups.items()} == {
        "Fixed": 7, "Broken": 0, "Still wrong": len(ids) - 7, "Still right": 0,
    }  # fmt: skip
    assert {card.id for card in groups["Fixed"].cards} <= set(ids[:7])
    blind = groups["Fixed"].cards[0].answers[-1]
    assert (blind.who, blind.mark) == ("Question alone", "")


def test_scores_that_are_no_share_of_right_answers_leave_the_judgement_to_the_reader(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    verdict = run.load("verdict")
    verdict["tasks"][0]["scale"] = UNIT_SCORE.to_json()
    run.save("verdict", verdict)
    files = read_files(run)
    (group,) = gallery(files, files.judged_tasks[0])
    assert (group.name, group.total) == ("Examples", len(run.records("after", "held_out")))
    assert {answer.mark for card in group.cards for answer in card.answers} == {""}


def test_there_is_no_gallery_before_there_are_answers_to_compare(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.records_file("before", "held_out").unlink()
    files = read_files(run)
    assert gallery(files, files.judged_tasks[0]) == ()
