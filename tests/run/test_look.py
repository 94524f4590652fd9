"""`finesight look`: the page shows what the collator lays out, of all sources, and needs nothing but itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from look_page import Box, LookPage, ShownToken
from small_runs import FROM_QUESTIONS, RECIPE, Finesight, WriteRecipe

from finesight.branches.layout import PADDING, PREFIX, Layout
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.opening import Tokenized, open_formatter, read_sets, tokenize
from finesight.recipe.reading import read_recipe
from finesight.recipe.recipe import Recipe
from finesight.train.batches import PlannedSteps, make_batch
from finesight.train.step_plan import plan_steps

MAX_TOKENS = 512
SCENES = {
    "kind": "scenes",
    "scenes": 300,
    "languages": ["en", "ru"],
    "questions_per_scene": 2,
    "dialogues_per_scene": 1,
}
TEXT_MODEL = {
    "kind": "text",
    "config": {**RECIPE["model"]["language"]["config"], "max_position_embeddings": 1024},
    "tokenizer": {"vocab_size": 400},
    "chat_template": "llava-1.5",
}


def look(finesight: Finesight, recipe: Path, *options: object) -> LookPage:
    page = recipe.parent / "look.html"
    ended = finesight("look", recipe, "--output", page, "--max-tokens-per-device", MAX_TOKENS, *options)
    assert ended.code == 0, ended.stderr
    assert ended.last_line() == str(page)
    return LookPage(page)


def tokens_of(path: Path) -> tuple[Recipe, Formatter, Tokenized]:
    """Return a recipe's data as training has them."""
    recipe = read_recipe(path).recipe
    sets, _, _ = read_sets(recipe, path.parent)
    formatter = open_formatter(recipe, path.parent, sets)
    return recipe, formatter, tokenize(formatter, sets, recipe)


def laid_out(layout: Layout, row: int) -> list[tuple[int, int, bool]]:
    """Return id, position and whether it is learned of each token of a row, padding left out."""
    numbers = layout.branch_numbers[row]
    learned = torch.zeros_like(numbers, dtype=torch.bool)
    learned[1:] = layout.learned[row, :-1]
    kept = numbers != PADDING
    columns = (layout.input_ids[row][kept], layout.position_ids[row][kept], learned[kept])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def shown(*boxes: Box) -> list[tuple[int, int, bool]]:
    return [(token.id, token.position, token.learned) for box in boxes for token in box.tokens]


def written(tokens: list[ShownToken], formatter: Formatter) -> str:
    ids = [token.id for token in tokens if token.id != formatter.placeholder_id]
    return str(formatter.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def longest_of(contexts: tuple[Encoded, ...]) -> Encoded:
    singles = [context.with_branches((branch,)) for context in contexts for branch in context.branches]
    return max(singles, key=lambda single: single.tokens)


@pytest.mark.parametrize("family", ["image", "text"])
def test_the_longest_of_many_scenes_is_shown_token_by_token(
    finesight: Finesight, write_recipe: WriteRecipe, family: str
) -> None:
    source: dict[str, Any] = {**SCENES, "context": "image" if family == "image" else "svg"}
    changes = {} if family == "image" else {"model": TEXT_MODEL, "tune": {"language": "full"}}
    recipe = write_recipe(data={"train": [source], "split": RECIPE["data"]["split"]}, **changes)
    page = look(finesight, recipe, "--examples", 3)
    _, formatter, tokens = tokens_of(recipe)

    longest = longest_of(tokens.learned)
    box = max(page.boxes[:3], key=lambda box: len(box.tokens))
    assert shown(box) == laid_out(make_batch([longest], formatter).layout, 0)
    assert box.text == written(box.tokens, formatter)
    answers = [token for token in box.tokens if token.kind == "answer"]
    assert answers == [token for token in box.tokens if token.learned]
    learned_turns = [turn.text for turn in longest.branches[0].example.turns if turn.learned]
    assert "".join(formatter.decode([token.id for token in answers]).split()) == "".join("".join(learned_turns).split())
    prefix = [token for token in box.tokens if token.kind == "prefix"]
    assert [token.id for token in prefix] == longest.prefix_ids.tolist()


def test_the_first_step_is_shown_as_training_computes_it(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    recipe_file = write_recipe(data={"train": [{**SCENES, "scenes": 30}], "split": RECIPE["data"]["split"]})
    page = look(finesight, recipe_file, "--examples", 1)
    recipe, formatter, tokens = tokens_of(recipe_file)
    (stage,) = recipe.each_stage()
    steps = plan_steps(tokens.learned, stage.train, recipe.seed)
    step = PlannedSteps(steps, formatter, max_tokens=MAX_TOKENS, rank=0, ranks=1)[0]

    layout = step.batches[0].layout
    boxes = iter(page.boxes[3:])  # one example each of train, validation and the task
    rows = min(4, layout.input_ids.shape[0])
    assert rows > 1
    for row in range(rows):
        branches = int(layout.branch_numbers[row].max())
        own = [next(boxes) for _ in range(PREFIX, branches + 1)]
        assert shown(*own) == laid_out(layout, row)
    assert next(boxes, None) is None
    assert f"The first of {len(steps)} steps: {step.examples} examples" in page.text


def test_the_page_needs_nothing_but_itself_and_runs_nothing(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    said = '<script>alert("1")</script> & какой это цвет?\t\u202eend'
    rows = json.loads((questions / "train.json").read_text(encoding="utf-8"))
    rows = [{**row, "question": said} for row in rows]
    (questions / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    recipe = write_recipe(data=FROM_QUESTIONS)
    page = look(finesight, recipe)
    content = (recipe.parent / "look.html").read_text(encoding="utf-8")

    assert page.loads and all(target.startswith("data:image/png;base64,") for target in page.loads)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form"}
    assert not re.search(r"https?:|@import|url\(", content)
    assert "\u202e" not in content
    assert said.replace("\u202e", "⟨U+202E⟩") in page.boxes[0].text


def test_pictures_are_what_the_processor_leaves_of_them(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    import base64
    import io

    from PIL import Image

    page = look(finesight, write_recipe(data=FROM_QUESTIONS))
    pictures = [Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for uri in page.loads]
    assert {picture.size for picture in pictures} == {(32, 32)}
    colours = {Image.open(file).convert("RGB").getpixel((0, 0)) for file in questions.glob("*.png")}
    assert {picture.getpixel((5, 5)) for picture in pictures} <= colours


def test_what_is_over_length_is_shown_and_check_fails_with_counts(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path
) -> None:
    rows = json.loads((questions / "train.json").read_text(encoding="utf-8"))
    for number in (0, 2, 4):
        rows[number]["question"] = "Is it blue? " * 40
    (questions / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    data = {**FROM_QUESTIONS, "max_length": 60}
    recipe = write_recipe(data=data)

    page = look(finesight, recipe)
    assert "Over length." in page.text and "check and run refuse it" in page.text
    assert any(len(box.tokens) > 60 for box in page.boxes)

    checked = finesight("check", recipe)
    assert checked.code == 1
    assert re.search(r"FAILED\s+over length: more than 60 tokens: (train|validation|task:held_out): \d", checked.stdout)
    assert "train:1" in checked.stdout
    dropped = finesight("check", write_recipe(data={**data, "over_length": "drop"}))
    assert dropped.code == 0
    assert "WARNING over length: left out" in dropped.stdout


def test_the_figures_are_those_of_the_data(finesight: Finesight, write_recipe: WriteRecipe, questions: Path) -> None:
    recipe = write_recipe(data=FROM_QUESTIONS)
    ended = finesight("look", recipe, "--json", "--output", recipe.parent / "look.html")
    figures = json.loads(ended.stdout)
    _, _, tokens = tokens_of(recipe)

    (source,) = figures["sets"][0]["sources"]
    assert "shown" not in source and "rows" not in figures["stages"][0]
    singles = [context.with_branches((branch,)) for context in tokens.learned for branch in context.branches]
    lengths = [single.tokens for single in singles]
    told = source["figures"]
    assert (told["examples"], told["contexts"]) == (len(singles), len(tokens.learned))
    assert (told["tokens"]["min"], told["tokens"]["max"]) == (min(lengths), max(lengths))
    assert told["tokens"]["median"] == float(np.median(lengths))
    assert sum(told["tokens"]["counts"]) == len(singles)
    assert told["questions_a_context"] == {"min": 2, "median": 2.0, "percentile_95": 2.0, "max": 2}
    assert told["learned_share"] == sum(single.learned_tokens for single in singles) / sum(lengths)
    answers = [single.branches[0].example.answer for single in singles]
    for answer in told["top_answers"]:
        assert answer["count"] == answers.count(answer["value"])
        assert answer["share"] == answer["count"] / len(answers)
    assert told["image_sizes"]["most_frequent"] == [32, 32]
    assert [each["name"] for each in figures["sets"]] == ["train", "validation", "task held_out"]


def test_what_cannot_be_read_is_told_as_check_tells_it(
    finesight: Finesight, write_recipe: WriteRecipe, questions: Path, tmp_path: Path
) -> None:
    (questions / "3.png").unlink()
    (questions / "5.png").write_bytes(b"no picture")
    recipe = write_recipe(data=FROM_QUESTIONS)
    looked, checked = finesight("look", recipe, "--output", tmp_path / "look.html"), finesight("check", recipe)
    assert (looked.code, looked.stderr) == (checked.code, checked.stderr)
    assert looked.code == 2 and "3.png" in looked.stderr
    assert not (tmp_path / "look.html").exists()


def test_a_folder_is_no_page(finesight: Finesight, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    ended = finesight("look", write_recipe(), "--output", tmp_path)
    assert ended.code == 2
    assert "a folder, and not a file" in ended.stderr


def test_the_drawing_stands_beside_its_text(finesight: Finesight, write_recipe: WriteRecipe) -> None:
    pytest.importorskip("resvg_py")
    data = {"train": [{"kind": "scenes", "scenes": 12, "context": "svg"}], "split": RECIPE["data"]["split"]}
    page = look(finesight, write_recipe(model=TEXT_MODEL, data=data, tune={"language": "full"}))
    assert page.loads and "the text, drawn" in page.text
    assert "style=fill:" in page.boxes[0].text
