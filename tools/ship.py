"""Make a run's tuned model one that comes with finesight: float16 weights, and the record of how they came about.

python tools/ship.py RUN starter       # writes src/finesight/shipped/starter/
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from finesight.cli.opening import choose_tasks, open_recipe, speak
from finesight.data.sources.read import read_source
from finesight.models.export import save_tokenizer
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.models.shipped import shipped_folder, shipped_name
from finesight.opening import load_best, open_untuned
from finesight.recipe.model import AssembledModel
from finesight.recipe.recipe import Recipe
from finesight.recipe.sources import Scenes
from finesight.run import measure_only
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, say
from finesight.train.checkpoints import read_best

TASKS = {"starter": "general", "text-starter": "captions"}
"""What each shipped model is measured on."""
MOST_BYTES = 10_000_000
SCENES_READ = 1000
"""Of each source, to find the tokens that training has seen."""
CURVE_POINTS = 100
MOST_TOKENS = 8192
KEPT_OF_ENVIRONMENT = ("started", "seed", "device", "packages", "python", "processor_cores", "git")
"""Without what is the machine's own: its paths and its name."""


def main() -> None:
    """Ship the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=TASKS)
    arguments = parser.parse_args()
    run = RunDir.existing(arguments.run)
    record = describe(run)
    folder = shipped_folder() / arguments.name
    staging = run.path / "shipped"
    shutil.rmtree(staging, ignore_errors=True)
    write_model(run, staging / "model")
    shutil.copy(run.path / "recipe.yaml", staging / "model" / "recipe.yaml")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(staging / "model", folder)
    record["scores"] = measure(arguments.name, staging)
    (folder / "record.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.iterdir())
    say(f"{folder}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"{folder}: more than {MOST_BYTES:,} bytes")


def write_model(run: RunDir, folder: Path) -> None:
    """Write the tuned model as any other checkpoint, its weights in float16."""
    loaded = open_untuned(run)
    load_best(loaded, run)
    assert isinstance(loaded.model, PreTrainedModel), "only models that were tuned in full can be shipped"
    renewed = renew_unseen_tokens(loaded, run)
    say(f"{renewed} tokens that training never saw have new embeddings")
    folder.mkdir(parents=True)
    for part in (loaded.model.config, *vars(loaded.model.config).values()):
        if isinstance(part, PreTrainedConfig):
            part.name_or_path = ""  # where it lay on this machine
    loaded.model.to(torch.float16).save_pretrained(folder)
    save_tokenizer(loaded.formatter.tokenizer, folder)
    loaded.formatter.save_image_processor(folder)


@torch.no_grad()
def renew_unseen_tokens(loaded: Loaded, run: RunDir) -> int:
    """Draw anew the embeddings of tokens that no training example holds; return how many these are.

    Training pushes them all away from every answer, and all the same way, until they are one: a word made of them can
    then be neither read nor said, and tuning with frozen embeddings cannot teach it. The new ones are as large as those
    that were learned.
    """
    seen = find_seen_tokens(loaded, run)
    embeddings = loaded.model.get_input_embeddings().weight
    unseen = torch.tensor([token not in seen for token in range(len(embeddings))])
    scale = embeddings[~unseen].std()
    generator = torch.Generator().manual_seed(run.recipe.seed)
    embeddings[unseen] = torch.randn(int(unseen.sum()), embeddings.shape[1], generator=generator) * scale
    return int(unseen.sum())


def find_seen_tokens(loaded: Loaded, run: RunDir) -> set[int]:
    """Return the tokens of what was learned from, as its first scenes hold them: their words are few."""
    seen = set(loaded.formatter.tokenizer.all_special_ids)
    for source in run.recipe.data.train:
        assert isinstance(source, Scenes), "the shipped models learn from scenes"
        for example in read_source(source.model_copy(update={"scenes": SCENES_READ}), run.data_root):
            single = loaded.formatter.encode(example, answered=True)
            seen.update(single.prefix_ids.tolist(), *(branch.ids.tolist() for branch in single.branches))
    return seen


def describe(run: RunDir) -> dict[str, Any]:
    """Return where the run took place, how long it took, and its curve, a line for each of some hundred steps."""
    environment = json.loads((run.path / "environment.json").read_text("utf-8"))
    rows = list(run.metrics())
    stages = []
    for stage in run.recipe.each_stage():
        own = [row for row in rows if row["stage"] == stage.name]
        best = read_best(run.checkpoints(stage.name))
        assert best is not None, f"{stage.name} has not come to its end"
        steps = [row for row in own if row["kind"] == "train"]
        every = max(1, len(steps) // CURVE_POINTS)
        stages.append({
            "name": stage.name,
            "steps": own[-1]["step"],
            "seconds": round(own[-1]["seconds"]),
            "best_step": best.step,
            "loss": [[row["step"], round(row["loss"], 4)] for row in steps[::every]],
            "validation": [
                [row["step"], round(row["loss_by_role"]["train"], 4), row["scores"]]
                for row in own
                if row["kind"] == "validation"
            ],
        })  # fmt: skip
    return {
        "recipe": run.recipe.name,
        **describe_vision(run),
        "parameters": run.load("parameters"),
        "environment": {name: environment[name] for name in KEPT_OF_ENVIRONMENT},
        "stages": stages,
    }


def describe_vision(run: RunDir) -> dict[str, Any]:
    """Return how the vision encoder learned to see before the run, where tools/pretrain_vision.py taught it."""
    model = run.recipe.model
    if not isinstance(model, AssembledModel) or model.vision.name_or_path is None:
        return {}
    record = run.data_root / model.vision.name_or_path / "pretraining.json"
    return {"vision": json.loads(record.read_text("utf-8"))}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return what the shipped file scores on its task, by language.

    As `finesight evaluate NAME --task TASK --language LANGUAGE` prints it.
    """
    scores = {}
    recipe, data_root = open_recipe(name, (), None)
    for language in ("en", "ru"):
        shutil.rmtree(folder / language, ignore_errors=True)
        asked = speak(choose_tasks(recipe, [TASKS[name]]), language)
        run = RunDir.new(asked, folder / language, data_root)
        with StopRequest() as stop:
            loaded = load_shipped(name, asked, data_root)
            measure_only(loaded, run, measured=shipped_name(name), max_tokens=MOST_TOKENS, stop=stop)
        (scores[language],) = run.load("scores")["tasks"]
    return scores


def load_shipped(name: str, recipe: Recipe, data_root: Path) -> Loaded:
    """Return the shipped file, loaded as any recipe loads it."""
    return load_model(recipe.model.model_copy(update={"name_or_path": shipped_name(name)}), data_root=data_root)


if __name__ == "__main__":
    main()
