"""The comparison page says no more than the figures allow, needs nothing but itself, and bears any name and answer."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from page_reader import Reader, read
from run_folder import small_recipe, write_run

from finesight.cli.results import compare as compare_command
from finesight.errors import UserError
from finesight.evaluate.comparison import compare_answers
from finesight.evaluate.comparison_detail import detail, judged_answers, picture_folders
from finesight.report.comparison.page import write_comparison
from finesight.report.page import write_report
from finesight.rundir import RunDir, append_lines
from finesight.schema import Record

BESIDE = [
    {"name": "held_out", "from": "test", "metric": "exact_match", "also": ["token_f1"]},
    {"name": "general", "kind": "vqa_parquet", "dataset": "general.parquet", "role": "forgetting"},
]


def write_page(named: Sequence[Path | str], page: Path, metric: str | None = None) -> Reader:
    """Write the page of a comparison as the command does, and read it."""
    compared = compare_answers(list(map(str, named)), metric)
    write_comparison(detail(compared), judged_answers(compared), picture_folders(compared.contenders), page)
    return read(page)


def two_runs(folder: Path) -> tuple[RunDir, RunDir]:
    recipe = small_recipe(evaluate=BESIDE)
    first = write_run(folder / "first", recipe=recipe, shares_right={"after": 0.4})
    return first, write_run(folder / "second", recipe=recipe, shares_right={"after": 0.9})


def predictions(path: Path, answers: Sequence[str], **fields: str) -> Path:
    """Write a predictions file whose every right answer is `yes`, two to a group."""
    records = (
        Record(str(number), answer, ("yes",), group=str(number // 2), **fields) for number, answer in enumerate(answers)
    )
    append_lines(path, (record.to_json() for record in records))
    return path


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = write_page([run.path for run in two_runs(tmp_path)], tmp_path / "page.html")

    assert page.loads and all(target.startswith("data:image/") for target in page.loads)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form"}
    assert not re.search(r"@import|url\(", (tmp_path / "page.html").read_text("utf-8"))


def test_the_figures_are_those_of_the_comparison(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path)
    named = [str(first.path), str(second.path), f"{first.path}@majority"]
    text = write_page(named, tmp_path / "page.html").text.replace("\N{NO-BREAK SPACE}", " ")

    content = compare_answers(named).content
    for task in content["tasks"]:
        for name, score in task["scores"].items():
            low, high = 100 * score["low"], 100 * score["high"]
            assert f"{name} {100 * score['score']:.1f} % [{low:.1f}, {high:.1f}]" in text
        for name, change in task["differences"].items():
            assert f"{100 * abs(change['estimate']):.1f} points [" in text
            assert f"{change['better']} / {change['worse']}" in text
            if change["verdict"] != "no difference found":
                assert f"{name} Found to be {change['verdict']}" in text
            elif change["better"]:
                assert f"one under {100 * change['smallest_detectable']:.1f} points would mostly" in text
            else:
                assert "every example scores the same" in text
    assert "second against first : better on held_out (+" in text
    assert "general: 12 groups only" in text
    assert "How the others differ among themselves is not told" in text


def test_the_same_answers_give_the_same_page(tmp_path: Path) -> None:
    named = [run.path for run in two_runs(tmp_path)]
    write_page(named, tmp_path / "one.html")
    write_page(named, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_every_axis_of_the_radar_is_named_with_its_scale(tmp_path: Path) -> None:
    page = write_page([run.path for run in two_runs(tmp_path)], tmp_path / "page.html")
    labels = [re.sub(r"<[^>]*>", " ", label) for label in re.findall(r"<text.*?</text>", page_text(tmp_path))]
    assert [label.split() for label in labels] == [
        ["held_out", "exact_match", "0", "%", "→", "100", "%"],
        ["held_out", "token_f1", "0", "%", "→", "100", "%"],
        ["general", "exact_match", "0", "%", "→", "80", "%"],
    ]
    # The bars beside it say the same, with intervals.
    assert all(f"{name} ·" in page.text for name in ("held_out", "general"))
    assert page.text.count("Score, 95 % interval") >= len(labels)


def page_text(folder: Path) -> str:
    return (folder / "page.html").read_text("utf-8")


def test_there_is_no_radar_of_two_axes_and_the_page_says_why(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name).path for name in ("first", "second")]
    text = write_page(runs, tmp_path / "page.html").text
    assert "There is no radar chart: it takes 3 axes, and there are only 2." in text
    assert 'class="radar"' not in page_text(tmp_path)


def test_a_metric_that_cannot_score_all_is_told_with_its_reason(tmp_path: Path) -> None:
    recipe = small_recipe(evaluate=[{**BESIDE[0], "also": ["perplexity"]}, BESIDE[1]])
    runs = [write_run(tmp_path / name, recipe=recipe).path for name in ("first", "second")]
    text = write_page(runs, tmp_path / "page.html").text
    assert "perplexity is left out: perplexity: 120 of 120 records do not say how likely" in text


STRANGE = {
    "markup": "<script>alert(1)</script> & </p></li>",
    "right to left": "‏שלום 12 (abc) \u202eevil",
    "separators": "one\u2028two\u0085three\r\nfour",
    "control": "a\x00b\x1b[31m",
    "lone surrogate": "x\ud800y",
    "long": "long " * 2000,
    "emoji": "👩‍🔬 e\u0301",
}


@pytest.mark.parametrize("said", STRANGE.values(), ids=STRANGE)
def test_no_answer_breaks_the_page(tmp_path: Path, said: str) -> None:
    lines = [{"id": str(number), "prediction": "yes", "references": ["yes", said]} for number in range(40)]
    for name, answer in (("a", "no"), ("b", said)):
        rows = (json.dumps({**line, "prediction": answer, "question": said, "answer_type": said}) for line in lines)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    page = write_page([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "page.html")

    written = page_text(tmp_path)
    assert not re.search("<script|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", written)
    assert len(written) < 100_000
    assert "b.jsonl is better" in page.text
    assert "Only b.jsonl right 40 examples" in page.text


def test_what_cannot_be_seen_is_named_and_what_is_long_is_counted(tmp_path: Path) -> None:
    files = [predictions(tmp_path / "a.jsonl", ["a\u2028b\nc"] * 40), predictions(tmp_path / "b.jsonl", ["yes"] * 40)]
    long = predictions(tmp_path / "c.jsonl", ["word " * 2000] * 40)
    text = write_page([*files, long], tmp_path / "page.html").text
    assert "a⟨U+2028⟩b ↵ c" in text
    assert "9,999 characters" in text


def test_a_name_is_kept_apart_whatever_is_written_in_it(tmp_path: Path) -> None:
    names = ["<b>bold & co.jsonl", "שלום 12.jsonl", "x" * 120 + ".jsonl"]
    chance = random.Random(3)
    files = [predictions(tmp_path / name, [chance.choice(("yes", "no")) for _ in range(40)]) for name in names]
    text = write_page(files, tmp_path / "page.html").text
    written = page_text(tmp_path)
    assert all(name in text for name in names)
    assert "<b>" not in written
    assert "<bdi>שלום 12.jsonl</bdi>" in written


def test_which_answers_are_shown_follows_from_who_was_right(tmp_path: Path) -> None:
    answers = {"a": "yes yes no no no", "b": "yes no yes no no"}
    files = [predictions(tmp_path / f"{name}.jsonl", said.split() * 8) for name, said in answers.items()]
    text = write_page(files, tmp_path / "page.html").text
    counts = "All right 8 (20.0 %) None right 16 (40.0 %) Only a.jsonl right 8 (20.0 %) Only b.jsonl right 8 (20.0 %)"
    assert counts in text
    assert "Only a.jsonl right 8 examples; 6 shown" in text
    assert "a.jsonl right yes b.jsonl wrong no" in text


def test_where_parts_of_the_marks_are_given_they_stand_beside_the_answer(tmp_path: Path) -> None:
    files = [predictions(tmp_path / "a.jsonl", ["yes sir"] * 40), predictions(tmp_path / "b.jsonl", ["no"] * 40)]
    text = write_page(files, tmp_path / "page.html", "token_f1").text
    assert "All score the same 0 (0.0 %) a.jsonl best 40 (100.0 %)" in text
    assert "a.jsonl partly right, 66.7 % yes sir b.jsonl wrong, 0.0 % no" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_nothing_is_shown_where_nothing_differs(tmp_path: Path) -> None:
    files = [predictions(tmp_path / f"{name}.jsonl", ["yes", "no"] * 20) for name in "ab"]
    text = write_page(files, tmp_path / "page.html").text
    assert "No difference found" in text
    assert "every example scores the same" in text
    assert "They differ on no example." in text
    assert "the data say nothing of the kinds of questions" in text


def test_of_many_kinds_the_rare_are_folded_away(tmp_path: Path) -> None:
    for name in "ab":
        records = [Record(str(n), "yes", ("yes",), question_type=f"kind {n % 11}") for n in range(44)]
        append_lines(tmp_path / f"{name}.jsonl", (record.to_json() for record in records))
    text = write_page([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "page.html").text
    assert "3 less frequent" in text
    assert all(f"kind {number} 4 examples" in text for number in range(11))


def test_a_files_pictures_come_from_the_run_it_lies_in_and_from_nowhere_else(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    own = run.records_file("after", "held_out")
    records = run.records("after", "held_out")
    other = tmp_path / "other.jsonl"
    append_lines(other, (replace(record, prediction="no idea", thumbnail="").to_json() for record in records))
    assert write_page([own, other], tmp_path / "page.html").loads

    (tmp_path / "private.jpg").write_bytes(b"private")
    own.write_text(re.sub(r'"thumbs/[^"]*"', '"../private.jpg"', own.read_text("utf-8")), encoding="utf-8")
    assert not write_page([own, other], tmp_path / "page.html").loads


def test_the_command_prints_the_pages_path_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(predictions(tmp_path / f"{name}.jsonl", ["yes", name] * 20)) for name in ("no", "yes")]
    page = tmp_path / "new" / "page.html"
    compare_command(files, html=page)
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert "yes.jsonl is better" in read(page).text

    compare_command(files, html=page, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(page)
    assert told["tasks"][0]["outcomes"]["yes.jsonl"]["right"] == 40

    with pytest.raises(UserError, match="a folder, and not a file"):
        compare_command(files, html=tmp_path)


@pytest.mark.parametrize("name", ["yes.jsonl", "notes.html", "report.html"])
def test_only_a_comparisons_page_is_written_over(tmp_path: Path, name: str) -> None:
    files = [str(predictions(tmp_path / f"{each}.jsonl", ["yes", each])) for each in ("no", "yes")]
    (tmp_path / "notes.html").write_text("<!doctype html>\n<title>mine</title>", "utf-8")
    write_report(write_run(tmp_path / "run")).rename(tmp_path / "report.html")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(UserError, match=r"ends in \.html|is not overwritten"):
        compare_command(files, html=tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


def test_names_that_begin_alike_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{'a-name-that-goes-on-' * 4}{end}" for end in ("first", "second")]
    files = [str(predictions(tmp_path / f"{name}.jsonl", ["yes", "no"])) for name in names]
    compare_command(files)
    column = "".join(line[:30].split(" ")[-1] or line[:30].strip() for line in capsys.readouterr().out.splitlines())
    assert "…" not in column
    assert all(f"{name}.jsonl" in column for name in names)


def test_scores_that_are_no_share_of_right_answers_call_no_answer_right_or_wrong(tmp_path: Path) -> None:
    said = (["a red ball", "a dog", ""], ["yes", "yes", "yes"])
    files = [predictions(tmp_path / f"{name}.jsonl", answers) for name, answers in zip("ab", said, strict=True)]
    text = write_page(files, tmp_path / "page.html", "rouge_l").text
    assert "Answered 2 (66.7 %) 3 (100.0 %)" in text and "No answer at all 1 (33.3 %) 0 (0.0 %)" in text
    assert "artly right" not in text and "Wrong" not in text


def test_a_page_of_real_answers_gives_the_published_figure(tmp_path: Path, shared: Path) -> None:
    file = shared / "fixtures" / "gqa_ru_predictions" / "eval_testdev_final_300.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for name, said in (("llava-gemma", "pred"), ("always-yes", None)):
        records = (
            Record(row["id"], row[said] if said else "да", (row["gold"],), group=row["imageId"], question=row["q"])
            for row in rows
        )
        append_lines(tmp_path / f"{name}.jsonl", (record.to_json() for record in records))
    files = [tmp_path / f"{name}.jsonl" for name in ("always-yes", "llava-gemma")]
    text = write_page(files, tmp_path / "page.html", "gqa_ru").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "llava-gemma.jsonl is better" in text
    assert "llava-gemma.jsonl 46.3 % [" in text
