"""A recipe file is read whole, or every fault in it is told at once, with its line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finesight.errors import RecipeError
from finesight.recipe.builtin import find_recipe
from finesight.recipe.model import PartSource
from finesight.recipe.reading import dump_recipe, read_recipe
from finesight.recipe.recipe import Recipe
from finesight.recipe.train import Train

GOOD = """\
name: clinic
model:
  kind: llava
  name_or_path: some/model
data:
  train:
    - kind: vqa_json
      file: train.json
tune:
  language: {method: lora, r: 8}
train:
  learning_rate: 1e-5
evaluate:
  - {name: held_out, from: test}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def faults_of(path: Path, text: str | bytes, *overrides: str) -> list[str]:
    """Return the faults that reading `text` is refused with, without the file's name."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as refused:
        read_recipe(path, overrides)
    return [fault.removeprefix(f"{path}:").lstrip() for fault in refused.value.faults]


def test_values_mean_what_a_person_means(recipe_file: Path) -> None:
    recipe_file.write_text(GOOD.replace("clinic", "no").replace("some/model", "on"), encoding="utf-8")
    recipe = read_recipe(recipe_file).recipe
    assert recipe.name == "no"
    assert recipe.model.kind == "llava" and recipe.model.name_or_path == "on"
    assert recipe.train is not None and recipe.train.learning_rate == 1e-5


def test_octal_and_sixty_based_numbers_are_no_trap(recipe_file: Path) -> None:
    assert read_recipe(recipe_file, ["seed=010"]).recipe.seed == 10
    assert "text" not in str(read_recipe(recipe_file, ["model.revision=1:30"]).recipe.model.revision)
    assert read_recipe(recipe_file, ["model.revision=1:30"]).recipe.model.revision == "1:30"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("      file:", "      fil:", "8: data.train.0.fil: there is no such field here (hint: did you mean `file`?)"),
        ("kind: llava\n", "kind: lava\n", "3: model.kind: there is no kind `lava` (hint: did you mean `llava`?)"),
        (
            "kind: vqa_json\n      file",
            "file",
            "7: data.train.0: has no `kind` (hint: the kinds are `llava_json`, `vqa_json`, `vqa_csv`, `vqa_parquet`, "
            "`multiple_choice`, `coco_captions`, `svg_captions`, `python` and `scenes`)",
        ),
        ("{name: held_out, from: test}", "{from: test}",
         "14: evaluate.0.name: is missing (hint: Names the task's files and its row in the report)"),
        ("from: test", "from: validation", "1: no held_out task is measured on a set that neither taught the model nor "
         "chose the checkpoint (hint: add a task `from: test`)"),
        ("from: test", "from: tets", "14: evaluate.0.from: must be `test`, `validation` or `train`, not `tets` "
         "(hint: did you mean `test`?)"),
        ("from: test", "from: test, kind: scenes", "14: evaluate.0.kind: stands beside `from` "
         "(hint: a task has `from` (a set of this run) or `kind`, not both)"),
        ("r: 8", "rr: 8", "10: tune.language.rr: there is no such field here (hint: did you mean `r`?)"),
        ("r: 8", "r: '8'", "10: tune.language.r: must be a whole number, not `8` (hint: take the quotes away)"),
        ("r: 8", "r: true", "10: tune.language.r: must be a whole number, not `true`"),
        ("r: 8", "r: 0", "10: tune.language.r: must be above 0, not `0`"),
        ("r: 8", "r: 8, use_dora: yes", "10: tune.language.use_dora: must be true or false, not `yes` "
         "(hint: write true)"),
        ("method: lora, ", "", "10: tune.language.method: is missing (hint: write `method: lora`)"),
        ("{method: lora, r: 8}", "froze",
         "10: tune.language: must be `frozen`, `full` or a mapping (method, r, lora_alpha, …), not `froze` "
         "(hint: did you mean `frozen`?)"),
        ("{method: lora, r: 8}", "{method: lora, target_modules: q_proj}",
         "10: tune.language.target_modules: must be a list or `all-linear`, not `q_proj` (hint: write `[q_proj]`)"),
        ("  learning_rate", "  report_to: tensorbord\n  learning_rate",
         "12: train.report_to: must be a list, not `tensorbord` (hint: write `[tensorboard]`)"),
        ("1e-5", "[1]", "12: train.learning_rate: must be a number or a mapping (vision, projector, language), "
         "not a list"),
        ("1e-5", "{vison: 1e-5}", "12: train.learning_rate.vison: there is no such field here "
         "(hint: did you mean `vision`?)"),
        ("  learning_rate", "  seed: 3\n  learning_rate",
         "12: train.seed: there is no such field here (hint: `seed` belongs at the top of the recipe)"),
        ("name: clinic", "name: 2024", "1: name: must be text, not `2024` (hint: put it in quotes: '2024')"),
        ("name: clinic", "name: a/b", "1: name: `a/b` cannot be a name "
         "(hint: use letters, digits, `-`, `_`, `.`; a letter or digit first)"),
        ("    - kind: vqa_json\n      file: train.json", "    []",
         "6: data.train: is an empty list (hint: give at least one item)"),
        ("    - kind: vqa_json\n      file: train.json", "    - 3",
         "7: data.train.0: must be a mapping that says its `kind`, not `3`"),
        ("r: 8", "r: 8, r: 9", "10: tune.language.r: stands here twice (first on line 10)"),
        ("  learning_rate", "  bf16: true\n  fp16: true\n  learning_rate",
         "11: train: bf16 and fp16 exclude each other"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_line_field_and_hint(recipe_file: Path, old: str, new: str, fault: str) -> None:
    assert old in GOOD
    assert faults_of(recipe_file, GOOD.replace(old, new)) == [fault]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(recipe_file: Path) -> None:
    text = GOOD.replace("kind: llava", "kind: lava").replace("r: 8", "r: x").replace("from:", "form:")
    faults = faults_of(recipe_file, text.replace("name: clinic", "name: a b"))
    assert [fault.split(":")[0] for fault in faults] == ["1", "3", "10", "14"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", "1: not valid YAML: expected ',' or ']', but got '<stream end>' "
         "(hint: while parsing a flow sequence that starts on line 1)"),
        ("name: a\n\tmodel: b", "2: not valid YAML: found character '\\t' that cannot start any token "
         "(hint: indent with spaces, not with tabs)"),
        ("name: a: b", "1: not valid YAML: mapping values are not allowed here "
         "(hint: text with a colon and a space needs quotes; else look at the indentation)"),
        ("name: &a [*a]", "1: an alias stands inside the value that it repeats"),
        ("name: " + "[" * 5000, "1: nested more than 60 levels deep"),
        ("name: " + "{a: " * 5000, "1: nested more than 60 levels deep"),
        ("name: a\nmodel: !!python/object/apply:os.getcwd []",
         "2: not valid YAML: the tag tag:yaml.org,2002:python/object/apply:os.getcwd has no meaning here"),
        ("name: a\nseed: 1e999", "2: not valid YAML: `1e999` is not a finite number"),
        ("name: a\nx: \0", "2: holds the character U+0000 (hint: write it as an escape inside double quotes, "
         "or take it out)"),
        ("- name: a", "1: a recipe is a mapping of fields, and this is a list"),
        ("just words", "1: a recipe is a mapping of fields, and this is a single value"),
        ("a: 1\n---\nb: 2", "2: not valid YAML: but found another document "
         "(hint: expected a single document in the stream that starts on line 1)"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_at_all_is_refused_with_its_line(recipe_file: Path, text: str, fault: str) -> None:
    assert faults_of(recipe_file, text) == [fault]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_told(recipe_file: Path, text: str) -> None:
    (fault,) = faults_of(recipe_file, text)
    assert fault == "the file is empty"


def test_an_alias_bomb_is_refused_before_it_is_unfolded(recipe_file: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 30)]
    started = time.monotonic()
    (fault,) = faults_of(recipe_file, "\n".join(levels))
    assert "holds more than 100,000 values once aliases are written out" in fault
    assert time.monotonic() - started < 5


def test_deep_nesting_through_aliases_is_refused(recipe_file: Path) -> None:
    levels = ["a0: &a0 x"] + [f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, 3000)]
    (fault,) = faults_of(recipe_file, "\n".join(levels))
    assert "holds more than 60 levels once aliases are written out" in fault


def test_a_file_that_is_not_text_is_refused(recipe_file: Path) -> None:
    (fault,) = faults_of(recipe_file, b"name: caf\xe9\n")
    assert fault == "not UTF-8 text (byte 10 does not belong)"


def test_a_huge_file_is_refused(recipe_file: Path) -> None:
    (fault,) = faults_of(recipe_file, "# " + "x" * 1_000_000)
    assert fault == "larger than 1 MB; a recipe is a page of text"


def test_a_lone_surrogate_is_refused(recipe_file: Path) -> None:
    (fault,) = faults_of(recipe_file, GOOD.replace("some/model", '"\\ud800"'))
    assert fault == "4: not valid YAML: half a character (a surrogate)"


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path, recipe_file: Path) -> None:
    with pytest.raises(RecipeError) as missing:
        read_recipe(tmp_path / "recipes.yaml")
    assert missing.value.faults == [f"{tmp_path / 'recipes.yaml'}: no such file"]
    assert missing.value.hint == f"did you mean {recipe_file}?"
    with pytest.raises(RecipeError, match="a folder, where a recipe"):
        read_recipe(tmp_path)


def test_overrides_change_fields_lists_and_what_is_not_there_yet(recipe_file: Path) -> None:
    recipe = read_recipe(
        recipe_file,
        [
            "train.num_train_epochs=1",
            "data.train.0.max_samples=10",
            "tune.language.r=4",
            "data.split.test=0.2",
            "tune.vision={method: lora, r: 2}",
            "tune.vision.r=3",
            "train.early_stopping.patience_steps=5",
        ],
    ).recipe
    assert recipe.train is not None and recipe.train.num_train_epochs == 1
    assert recipe.train.early_stopping is not None and recipe.train.early_stopping.patience_steps == 5
    assert recipe.data.train[0].max_samples == 10
    assert recipe.data.split.test == 0.2
    assert recipe.tune is not None
    assert recipe.tune.model_dump()["language"]["r"] == 4 and recipe.tune.model_dump()["vision"]["r"] == 3


def test_a_change_to_an_aliased_value_stays_in_its_place(recipe_file: Path) -> None:
    recipe_file.write_text(
        GOOD.replace("language: {method: lora, r: 8}", "language: &l {method: lora, r: 8}\n  vision: *l"), "utf-8"
    )
    recipe = read_recipe(recipe_file, ["tune.language.r=4"]).recipe
    assert recipe.tune is not None and recipe.tune.model_dump()["vision"]["r"] == 8


def test_merge_keys_work(recipe_file: Path) -> None:
    recipe_file.write_text(
        GOOD.replace("language: {method: lora, r: 8}", "language: &l {method: lora, r: 8}\n  vision: {<<: *l, r: 2}"),
        "utf-8",
    )
    recipe = read_recipe(recipe_file).recipe
    assert recipe.tune is not None and recipe.tune.model_dump()["vision"]["r"] == 2


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("train.max_stps=3", "train.max_stps: there is no such field here (hint: did you mean `max_steps`?)"),
        ("train", "not a change to a recipe (hint: write it as FIELD.FIELD=VALUE, e.g. train.num_train_epochs=1)"),
        ("=1", "not a change to a recipe (hint: write it as FIELD.FIELD=VALUE, e.g. train.num_train_epochs=1)"),
        ("data.train.1.file=x", "data.train has no item 1 (hint: items are counted from 0, and the last is 0)"),
        ("data.train.first.file=x", "data.train is a list, and `first` is no place in it "
         "(hint: write data.train.0 for its first item)"),
        ("name.x=1", "name is `clinic`, which has no field `x` (hint: set the whole of it, as --set 'name={x: …}')"),
        ("seed=[1", "the value: not valid YAML: expected ',' or ']', but got '<stream end>' "
         "(hint: while parsing a flow sequence that starts on line 1)"),
        ("data.max_length=no", "data.max_length: must be a whole number, not `no`"),
        ("tune.vision={r: 3}", "tune.vision.method: is missing (hint: write `method: lora`)"),
    ],
)  # fmt: skip
def test_a_fault_of_an_override_is_told_at_the_override(recipe_file: Path, override: str, fault: str) -> None:
    assert faults_of(recipe_file, GOOD, override) == [f"--set {override}: {fault}"]


def test_a_complete_recipe_reads_back_equal(recipe_file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file, ["model.system_prompt=Отвечай «да» 🐈", "data.train.0.prompt='{question}\n\nда'"])
    written = tmp_path / "written.yaml"
    written.write_text(dump_recipe(recipe.recipe), encoding="utf-8")
    assert read_recipe(written).recipe == recipe.recipe
    assert "Отвечай «да» 🐈" in written.read_text(encoding="utf-8")
    assert list(yaml.safe_load(written.read_text("utf-8"))) == list(Recipe.model_fields)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
configurations = st.dictionaries(
    st.text(), st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)), max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(), configuration=configurations)
def test_any_text_and_any_configuration_read_back_equal(
    recipe_file: Path, prompt: str, configuration: dict[str, Any]
) -> None:
    base = Recipe.model_validate(yaml.safe_load(GOOD.replace("1e-5", "0.1")))
    vision = PartSource(config=configuration)
    model = {"kind": "assembled", "vision": vision, "language": vision, "system_prompt": prompt}
    recipe = Recipe.model_validate({**base.model_dump(exclude={"model"}), "model": model})
    target = recipe_file.with_name("written.yaml")
    target.write_text(dump_recipe(recipe), encoding="utf-8", newline="")
    assert read_recipe(target).recipe == recipe


def test_reading_a_recipe_needs_no_torch() -> None:
    code = "import finesight.recipe.reading, sys; sys.exit(any(n in sys.modules for n in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("rate", "told"),
    [("-1", "above 0, not `-1`"), ("0", "above 0, not `0`"), ("1.5", "below 1, not `1.5`"), ("1e4", "below 1, not")],
)
@pytest.mark.parametrize("field", ["learning_rate", "learning_rate.language"])
def test_a_learning_rate_that_cannot_be_meant_is_refused_where_it_was_given(field: str, rate: str, told: str) -> None:
    other = ["train.learning_rate={language: 1e-4}"] if "." in field else []
    with pytest.raises(RecipeError) as caught:
        read_recipe(find_recipe("starter"), [*other, f"train.{field}={rate}"])
    assert f"--set train.{field}={rate}: train.{field}: must be {told}" in caught.value.message


def test_a_metric_that_no_validation_gives_is_refused_where_it_was_given() -> None:
    change = "train.early_stopping={patience_steps: 5, metric: eval_x}"
    with pytest.raises(RecipeError) as caught:
        read_recipe(find_recipe("starter"), [change])
    assert caught.value.message.startswith(f"--set {change}: train.early_stopping.metric: must be a figure of a")
    assert "not `eval_x`" in caught.value.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("metric_for_best_model", "it is early_stopping.metric here"),
        ("load_best_model_at_end", "that is always so"),
        ("per_device_train_batch_size", "give global_batch_size"),
    ],
)
def test_a_name_of_transformers_is_told_what_stands_in_its_place(name: str, told: str) -> None:
    assert name not in Train.model_fields
    with pytest.raises(RecipeError) as caught:
        read_recipe(find_recipe("starter"), [f"train.{name}=1"])
    assert told in caught.value.message
    assert "the fields are" not in caught.value.message


TEXT = GOOD.replace("kind: llava", "kind: text")


def test_a_text_model_is_read(recipe_file: Path) -> None:
    recipe_file.write_text(TEXT, encoding="utf-8")
    model = read_recipe(recipe_file).recipe.model
    assert model.kind == "text" and model.name_or_path == "some/model" and model.config is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("language: {method", "vision: full\n  language: {method"),
            "tune asks for vision, but a text model is language",
        ),
        (("language: {method", "projector: {method: lora}\n  language: {method"), "tune asks for projector"),
        (("some/model", "some/model\n  image_size: 64"), "image_size"),
        (("name_or_path: some/model", "revision: main"), "either name_or_path (a checkpoint) or config"),
        (("some/model", "some/model\n  tokenizer: {vocab_size: 400}"), "leave out one of them"),
    ],
)
def test_what_a_text_model_has_not_is_refused(recipe_file: Path, change: tuple[str, str], told: str) -> None:
    (fault,) = faults_of(recipe_file, TEXT.replace(*change))
    assert told in fault


STAGES = """\
name: staged
model: {kind: llava, name_or_path: some/model}
data:
  train:
    - {name: captions, kind: scenes, captions_per_scene: 1}
    - {kind: scenes, world: house}
stages:
  - {name: look, sources: [captions], tune: {projector: full}}
evaluate:
  - {name: held_out, from: test}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sources: [captions]", "sources: [caption]", "stage look: no source is named caption"),
        ("name: captions, kind: scenes", "kind: scenes", "give a source of data.train a name"),
        ("world: house", "world: house, captions_per_scene: 1", "the house world has questions only"),
        ("world: house", "world: house, context: svg", "the SVG text does not hold"),
        ("world: house", "most_objects: 7", "most_objects"),
        ("world: house", "languages: [fr]", "languages"),
        ("world: house", "languages: [ru, ru]", "every question would be asked twice"),
        ("stages:", "  validation: [{kind: scenes, weight: 2}]\nstages:", "what is measured is measured once"),
        ("stages:", "  test: [{kind: scenes, weight: 0.5}]\nstages:", "what is measured is measured once"),
        ("from: test}", "from: test}\n  - {name: more, kind: scenes, weight: 2}", "what is measured is measured once"),
    ],
)
def test_what_stages_and_scenes_cannot_be_is_refused(recipe_file: Path, old: str, new: str, told: str) -> None:
    recipe_file.write_text(STAGES, encoding="utf-8")
    assert read_recipe(recipe_file).recipe.stages[0].sources == ("captions",)
    assert old in STAGES
    assert told in " ".join(faults_of(recipe_file, STAGES.replace(old, new)))
