"""A text model from beginning to end: questions about texts, two about each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_runs import RECIPE, Finesight, WriteRecipe, read_json_lines, scores, whole

from finesight.schema import Example, Turn

COLOURS = ("red", "green", "blue")
MODEL: dict[str, Any] = {
    "kind": "text",
    "config": {**RECIPE["model"]["language"]["config"], "hidden_size": 64},
    "tokenizer": {"vocab_size": 400},
    "chat_template": "plain",
}
SECTIONS: dict[str, Any] = {
    "model": MODEL,
    "data": {"train": [{"kind": "scenes"}], "split": {"validation": 0.2, "test": 0.2}},
    "tune": {"language": "full"},
    "train": {"max_steps": 60, "global_batch_size": 8, "learning_rate": 4e-3, "eval_steps": 60},
}


def drawing(number: int) -> str:
    """Return the source of a picture, a path a line."""
    colour = COLOURS[number % 3]
    paths = "".join(f'<path fill="{colour}" d="M {number} {place} L 9 9"/>\n' for place in range(1 + number % 4))
    return f"<svg>\n{paths}</svg>\n"


def about_drawings(spec: object) -> list[Example]:
    """Return two questions about each of twenty drawings: a source that finesight does not have."""
    return [
        Example(
            id=f"{number}-{question}",
            group=f"drawing {number}",
            images=(),
            turns=(Turn("user", question), Turn("assistant", answer, learned=True)),
            references=(answer,),
            context=drawing(number),
        )
        for number in range(20)
        for question, answer in (
            ("what colour?", COLOURS[number % 3]),
            ("how many paths?", str(1 + number % 4)),
        )
    ]


@pytest.fixture(scope="module", autouse=True)
def drawings() -> Iterator[None]:
    """Put the drawings in the place of the scenes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finesight.data.sources.read.read_scenes", about_drawings)
        yield


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("text"), SECTIONS)


def answers(run: Path, predictor: str) -> dict[str, str]:
    rows = read_json_lines(run / "evaluation" / predictor / "held_out.jsonl")
    return {row["id"]: row["prediction"] for row in rows}


def test_a_text_run_is_judged_beside_its_question_alone(text_run: Path) -> None:
    (task,) = scores(text_run)
    assert {"before", "after", "blind", "majority"} <= task["scores"].keys()
    blind: dict[str, set[str]] = {}
    for identity, answer in answers(text_run, "blind").items():
        blind.setdefault(identity.split("-")[1], set()).add(answer)
    assert all(len(told) == 1 for told in blind.values()), "without its text, a question has one answer"
    assert len(set(answers(text_run, "after").values())) > 1, "answers that are all alike prove little"
    assert answers(text_run, "before") != answers(text_run, "after")


def test_only_language_is_counted_and_each_text_is_a_context(text_run: Path) -> None:
    (stage,) = json.loads((text_run / "parameters.json").read_text(encoding="utf-8"))["stages"]
    assert [(part["part"], part["learning"]) for part in stage["parts"]] == [("language", stage["total"])]
    data = json.loads((text_run / "data.json").read_text(encoding="utf-8"))
    assert {(data["sets"][name]["contexts"], data["sets"][name]["examples"]) for name in ("test", "train")} == {
        (4, 8), (12, 24),
    }  # fmt: skip
    assert data["leaks"] == []


def test_the_tuned_model_is_read_back(text_run: Path, finesight: Finesight, tmp_path: Path) -> None:
    assert not list((text_run / "model").glob("*processor*"))
    ended = finesight("evaluate", text_run, "--output", tmp_path / "evaluation")
    assert ended.code == 0, ended.stderr
    assert answers(tmp_path / "evaluation", "model") == answers(text_run, "after")
    assert answers(tmp_path / "evaluation", "blind") == answers(text_run, "blind")


def test_asking_about_a_file_gives_the_runs_own_answers(text_run: Path, finesight: Finesight, tmp_path: Path) -> None:
    before, after = (answers(text_run, predictor) for predictor in ("before", "after"))
    for identity in list(after)[:3]:
        number, question = identity.split("-")
        (tmp_path / "drawing.svg").write_text(drawing(int(number)), encoding="utf-8")
        ended = finesight("ask", text_run, tmp_path / "drawing.svg", question, "--json")
        assert ended.code == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert (told["before"], told["after"]) == (before[identity], after[identity])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"", "a.png: not a text file, and the model reads texts"),
        ("none.svg", None, "none.svg: cannot be read"),
        ("a.txt", b" \n", "a.txt: the file is empty"),
        ("a.svg", b"\xff\xfe\xfa", "a.svg: not UTF-8 text"),
    ],
)
def test_asking_about_what_is_no_text(
    name: str, content: bytes | None, message: str, text_run: Path, finesight: Finesight, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ended = finesight("ask", text_run, tmp_path / name, "what colour?")
    assert ended.code == 2
    assert message in ended.stderr


def test_images_are_refused_before_anything_is_written(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path
) -> None:
    data = {"train": [{"kind": "vqa_json", "file": "data/train.json", "images": "data"}]}
    ended = finesight("run", write_recipe(**{**SECTIONS, "data": data}), "--output", tmp_path / "run")
    assert ended.code == 2
    assert "shows an image" in ended.stderr and "model.kind" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_text_checkpoint_is_evaluated_and_tuned(
    text_run: Path, finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    from finesight.opening import load_best, open_untuned
    from finesight.rundir import RunDir

    run = RunDir.existing(text_run)
    loaded = open_untuned(run)
    load_best(loaded, run)
    loaded.model.save_pretrained(tmp_path / "checkpoint")
    loaded.formatter.tokenizer.save_pretrained(tmp_path / "checkpoint")

    model = {"kind": "text", "name_or_path": "checkpoint", "chat_template": "plain"}
    recipe = write_recipe(**{**SECTIONS, "model": model, "tune": {"language": {"method": "lora", "r": 2}}})
    ended = finesight("evaluate", tmp_path / "checkpoint", recipe, "--output", tmp_path / "evaluation")
    assert ended.code == 0, ended.stderr
    assert answers(tmp_path / "evaluation", "model") == answers(text_run, "after")
    ended = finesight("run", recipe, "--set", "train.max_steps=2", "--output", tmp_path / "run")
    assert ended.code == 0, ended.stderr
    assert answers(tmp_path / "run", "before") == answers(text_run, "after")


def test_checks_and_parameters_speak_of_no_image(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    ended = finesight("check", write_recipe(**SECTIONS), "--json")
    assert ended.code == 0, ended.stderr
    assert "image tokens" not in {check["name"] for check in json.loads(ended.stdout)}
    ended = finesight("params", write_recipe(**SECTIONS))
    assert ended.code == 0, ended.stderr
    assert "language" in ended.stdout and "vision" not in ended.stdout


def test_a_picture_is_asked_about_and_a_text_is_not(tmp_path: Path) -> None:
    from finesight.data.asking import ask_about
    from finesight.errors import DataError

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert len(ask_about(tmp_path / "a.png", "what?", sees_images=True).images) == 1
    with pytest.raises(DataError, match=r"a\.svg: a text, and the model sees images"):
        ask_about(tmp_path / "a.svg", "what?", sees_images=True)
