"""The command line: quick help, plain errors with exit codes, results on stdout for people and programs."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from finesight import __version__
from finesight.cli.environment import in_lines
from finesight.rundir import append_lines
from finesight.schema import Record

HEAVY = ("torch", "transformers", "numpy", "scipy", "pydantic", "yaml", "rich", "datasets")


def finesight(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "finesight", *arguments],
        capture_output=True, text=True, cwd=folder, check=False, timeout=60,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )  # fmt: skip


def main_with(verb_body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with another body of `env`, to see how its end is told."""
    code = f"""
import errno, sys, typer
from finesight.cli import main
from finesight.errors import *
def env():
    {verb_body}
main._VERBS["env"] = env
sys.argv = ["finesight", *{list(arguments)!r}, "env"]
main.main()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_help_lists_every_verb_and_loads_nothing_heavy() -> None:
    code = f"""
        import sys
        from finesight.cli.main import main
        sys.argv = ["finesight", "--help"]
        try:
            main()
        finally:
            print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    commands = done.stdout.split("Commands:")[1]
    verbs = "new check look params plan run launch evaluate score rescore compare report watch ask export convert list"
    assert [line.split()[0] for line in commands.strip().splitlines()] == [*verbs.split(), "env", "svg"]
    assert "..." not in commands, "a summary is too long for its line"


@pytest.mark.parametrize(
    "verb",
    [
        "new", "check", "look", "params", "plan", "run", "train", "launch", "evaluate", "score", "rescore", "compare",
        "report", "watch", "ask",
    ],
)  # fmt: skip
def test_every_verb_has_help(verb: str) -> None:
    done = finesight(verb, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: finesight {verb}")


def test_the_version_is_printed() -> None:
    assert finesight("--version").stdout == f"finesight {__version__}\n"


def test_a_misspelt_verb_is_answered_with_the_right_one() -> None:
    done = finesight("rn")
    assert done.returncode == 2
    assert "'run'" in done.stderr


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("raise UserError('no such file', hint='look again')", 2, "no such file\nhint: look again\n"),
        ("raise CheckFailed('2 checks failed')", 1, "2 checks failed\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise Interrupted('stopped on request')", 130, "stopped on request\n"),
        (f"raise OSError({errno.ENOSPC}, 'No space left on device', 'runs/a/x.json')", 2,
         "the disk is full (runs/a/x.json)\n"
         "hint: make room, or name another disk with --output and FINESIGHT_CACHE\n"),
        (f"raise OSError({errno.EACCES}, 'Permission denied', 'runs')", 2, "runs: Permission denied\n"),
        (f"raise OSError({errno.EDQUOT}, 'Quota exceeded')", 2,
         "the disk is full\nhint: make room, or name another disk with --output and FINESIGHT_CACHE\n"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_without_a_traceback(body: str, code: int, told: str) -> None:
    done = main_with(body)
    assert (done.returncode, done.stderr, done.stdout) == (code, told, "")
    shown = main_with(body, "--traceback")
    assert shown.returncode != 0
    assert "Traceback" in shown.stderr or code == 130


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    done = main_with("raise ZeroDivisionError")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_environment_variable_shows_tracebacks_too(tmp_path: Path) -> None:
    done = finesight("report", str(tmp_path), FINESIGHT_TRACEBACK="1")
    assert "Traceback" in done.stderr and "not a run folder" in done.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "finesight", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_list_gives_every_shelf_and_one_alone() -> None:
    shelves = json.loads(finesight("list", "--json").stdout)
    assert list(shelves) == ["kinds", "tasks", "metrics", "recipes", "models", "shipped", "blueprints"]
    revisions = [row["about"] for row in shelves["blueprints"] if row["name"] == "vikhyatk/moondream2"]
    assert ["2024-08-26" in about for about in revisions] == [True, False]
    assert ["2025-06-21" in about for about in revisions] == [False, True]
    kinds = ["llava_json", "vqa_json", "vqa_csv", "vqa_parquet", "multiple_choice", "coco_captions", "svg_captions"]
    assert [entry["name"] for entry in shelves["kinds"]] == [*kinds, "python", "scenes"]
    assert all(entry["about"] for shelf in shelves.values() for entry in shelf)
    assert finesight("list", "models").stdout.splitlines()[1].startswith("  llava ")
    unknown = finesight("list", "moodels")
    assert (unknown.returncode, unknown.stderr) == (2, "there is no list of moodels\nhint: did you mean models?\n")


def test_env_tells_versions_and_machine() -> None:
    content = json.loads(finesight("env", "--json").stdout)
    assert content["packages"]["finesight"] == __version__
    assert content["accelerator"]
    lines = dict(in_lines(content))
    assert lines["torch"] == content["packages"]["torch"]
    assert not any(isinstance(value, dict) for value in lines.values())


def predictions(path: Path, answers: list[str]) -> Path:
    rows = (Record(str(number), answer, ("yes",), group=str(number // 2)) for number, answer in enumerate(answers))
    append_lines(path, (row.to_json() for row in rows))
    return path


def test_compare_prints_a_table_or_json(tmp_path: Path) -> None:
    a, b = predictions(tmp_path / "a.jsonl", ["yes", "no"] * 30), predictions(tmp_path / "b.jsonl", ["yes"] * 60)
    comparison = json.loads(finesight("compare", str(a), str(b), "--json").stdout)
    assert comparison["tasks"][0]["differences"]["b.jsonl"]["estimate"] == 0.5
    printed = finesight("compare", str(a), str(b))
    assert printed.returncode == 0 and "a.jsonl" in printed.stdout and "50.0" in printed.stdout
    refused = finesight("compare", str(a), str(predictions(tmp_path / "c.jsonl", ["yes"] * 9)))
    assert refused.returncode == 2 and "hint: --intersect" in refused.stderr and refused.stdout == ""


def test_score_names_each_way_of_being_wrong(tmp_path: Path) -> None:
    answers = ["yes", "Yes, it is.", "да", "", "no"]
    file = predictions(tmp_path / "a.jsonl", answers)
    with file.open("a", encoding="utf-8") as lines:
        cut = Record("9", "It is not easy to", ("yes",), finish_reason="length")
        lines.write(json.dumps(cut.to_json()) + "\n")
    scored = json.loads(finesight("score", str(file), "--metric", "exact_match", "--json").stdout)
    assert {outcome: count for outcome, count in scored["outcomes"].items() if count} == dict.fromkeys(
        ("right", "other_format", "other_language", "empty", "cut", "wrong"), 1
    )
    printed = finesight("score", str(file), "--metric", "exact_match")
    for words in ("16.7 %", "Right answer among other words", "In another script", "No answer at all", "Cut at the"):
        assert words in printed.stdout
    unknown = finesight("score", str(file), "--metric", "luck")
    assert unknown.returncode == 2 and "hint: the metrics are exact_match, " in unknown.stderr
    twice = finesight("score", str(file), "--metric", "gqa_ru", "--metric", "exact_match")
    assert (twice.returncode, twice.stdout) == (2, "") and "one at a time" in twice.stderr


def test_new_writes_a_recipe_once(tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "my data"
    folder.mkdir()
    rows = []
    for number in range(4):
        Image.new("RGB", (8, 8), (number * 60, 0, 0)).save(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": "Which shade?", "answer": str(number)})
    (folder / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    written = finesight("new", str(folder))
    assert written.returncode == 0, written.stderr
    recipe = folder / "my-data.yaml"
    assert written.stdout == f"{recipe}\n"
    content = recipe.read_bytes()
    again = finesight("new", str(folder))
    assert again.returncode == 2 and "is not overwritten" in again.stderr
    assert recipe.read_bytes() == content
    elsewhere = finesight("new", str(folder), "--output", str(tmp_path / "elsewhere.yaml"))
    assert f"--data-root {folder}" in elsewhere.stderr
    from finesight.recipe.reading import read_recipe

    assert read_recipe(recipe).recipe.name == "my-data"


def test_a_recipe_with_faults_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: a\nmodle: {}\n", encoding="utf-8")
    done = finesight("run", "recipe.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "recipe.yaml:2: modle: there is no such field here (hint: did you mean `model`?)" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    assert "no such folder" in finesight("run", "recipe.yaml", "--data-root", "nowhere", folder=tmp_path).stderr


def test_what_a_terminal_cannot_show_is_spelt_out(tmp_path: Path) -> None:
    row = '{"id": "1", "prediction": "a", "references": ["a"], "answer_type": "half \\ud83d, и ещё"}\n'
    (tmp_path / "predictions.jsonl").write_text(row, encoding="utf-8")
    score = ("score", "predictions.jsonl", "--metric", "exact_match")
    shown = finesight(*score, folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "half \\ud83d, и ещё" in shown.stdout
    plain = finesight(*score, "--json", folder=tmp_path, PYTHONIOENCODING="ascii")
    (kind,) = json.loads(plain.stdout)["by"]["answer_type"]
    assert kind["value"] == "half \ud83d, и ещё"


def test_a_comparison_tells_what_makes_it_unsure(tmp_path: Path) -> None:
    for name in ("a", "b"):
        append_lines(tmp_path / f"{name}.jsonl", [Record("1", name, ("a",)).to_json()])
    done = finesight("compare", "a.jsonl", "b.jsonl", folder=tmp_path)
    assert "warning: predictions: 1 group only;" in " ".join(done.stdout.split())
