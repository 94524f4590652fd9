"""A first recipe for a folder of data, with comments that are the fields' own help."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from finesight.data.describe import FolderFindings, SourceFinding
from finesight.recipe.base import Spec
from finesight.recipe.data import Data, Split
from finesight.recipe.evaluate import SetTask
from finesight.recipe.model import LlavaModel, Quantization
from finesight.recipe.recipe import Recipe
from finesight.recipe.sources import LlavaJson, VqaColumns, VqaCsv, VqaJson, VqaParquet
from finesight.recipe.train import EarlyStopping, Train
from finesight.recipe.tune import Lora, Tune

_EXAMPLE_MODEL = "llava-hf/llava-1.5-7b-hf"
_COMMENT_COLUMN = 56
_PLAIN_SCALAR = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
_NOT_TEXT = re.compile(r"(?i)(y|n|yes|no|on|off|true|false|null|~|[-+.\d][-+.\d_:e]*)")
_SETS = {"test": ("test",), "validation": ("val", "valid", "validation", "dev")}
_SPECS: dict[str, type[Spec]] = {
    "llava_json": LlavaJson,
    "vqa_json": VqaJson,
    "vqa_csv": VqaCsv,
    "vqa_parquet": VqaParquet,
}
FILL_IN = "FILL-IN"
"""Stands in a recipe where only a person can tell."""


def recipe_text(findings: FolderFindings, name: str) -> str:
    """Return a complete recipe, as commented YAML, that trains on what was found.

    Files that are named after a test or validation set become that set, unless they show images of the training
    files: then all of them are divided anew, by image, and a comment says so. Paths start from the folder. A column
    that could not be told says `FILL-IN`.
    """
    sections = [
        _opening(findings, name),
        _field(Recipe, "name", name) + _field(Recipe, "seed", 42),
        _model(),
        _data(findings),
        _tune(),
        _train(),
        _evaluate(),
    ]
    return "\n".join("\n".join(section) + "\n" for section in sections)


def _opening(findings: FolderFindings, name: str) -> list[str]:
    lines = [
        f"# A recipe for the data in {findings.folder.absolute().name}. Look it over, then:",
        f"#   finesight check {name}.yaml    what would go wrong, before anything is computed",
        f"#   finesight run {name}.yaml      measure, tune, measure again",
        "# Paths start from --data-root, which is the folder of this file where it is not given.",
        "#",
        "# Found:",
        *(f"#   {_in_words(source)}" for source in findings.sources),
    ]
    if any(source.lacking for source in findings.sources):
        lines.append(f"# Before it runs, write the name of a column in each place that says {FILL_IN}.")
    lines += [f"# Passed over: {file} ({_one_line(reason)})" for file, reason in findings.passed_over]
    return lines


def _in_words(source: SourceFinding) -> str:
    shown = f", {len(source.image_files):,} images in {source.images}" if source.image_files else ""
    lacking = source.rows_without_image_file
    missing = f"; {lacking:,} rows name an image that was not found" if lacking else ""
    unknown = f"; its column for the {source.lacking[0]} could not be told" if source.lacking else ""
    return f"{source.file}: {source.rows:,} rows{shown}{missing}{unknown}"


def _model() -> list[str]:
    return [
        "model:",
        *_field(LlavaModel, "kind", "llava", indent=2),
        *_field(LlavaModel, "name_or_path", _EXAMPLE_MODEL, indent=2),
        *_field(LlavaModel, "dtype", "auto", indent=2),
        *_field(LlavaModel, "quantization", "none", indent=2),
        "  # A smaller GPU holds the language model in 4 bits:",
        *_commented(["quantization:", *_field(Quantization, "bnb_4bit_quant_type", "nf4", indent=2)], indent=2),
    ]


def _data(findings: FolderFindings) -> list[str]:
    sets, shared = _assign(findings.sources)
    lines = ["data:"]
    for set_name in ("train", "validation", "test"):
        if sources := sets[set_name]:
            comment = [f"  # {shared}"] if shared and set_name == "train" else []
            lines += [*comment, *_field(Data, set_name, None, indent=2)]
            lines += [line for source in sources for line in _source(source)]
    if not sets["validation"] or not sets["test"]:
        lines += _field(Data, "split", None, indent=2)
        for set_name in ("validation", "test"):
            lines += [] if sets[set_name] else _field(Split, set_name, 0.1, indent=4)
    lines += _field(Data, "max_length", 2048, indent=2) + _field(Data, "over_length", "fail", indent=2)
    return lines


def _assign(sources: Sequence[SourceFinding]) -> tuple[dict[str, list[SourceFinding]], str]:
    sets: dict[str, list[SourceFinding]] = {"train": [], "validation": [], "test": []}
    for source in sources:
        sets[_set_named_by(source.file)].append(source)
    if not sets["train"]:
        return {"train": list(sources), "validation": [], "test": []}, ""
    learned = set().union(*(source.image_files for source in sets["train"]))
    for source in (*sets["test"], *sets["validation"]):
        if both := learned & source.image_files:
            shared = f"{source.file} shows {len(both):,} images of the training files: all are divided anew, by image."
            return {"train": list(sources), "validation": [], "test": []}, shared
    return sets, ""


def _set_named_by(file: str) -> str:
    words = re.split(r"[^a-z]+|set\b", PurePosixPath(file).name.lower())
    return next((name for name, called in _SETS.items() if set(called) & set(words)), "train")


def _source(source: SourceFinding) -> list[str]:
    spec = _SPECS[source.kind]
    lines = _field(spec, "kind", source.kind, indent=6)
    lines[0] = lines[0].replace("      kind", "    - kind", 1)
    if source.kind == "vqa_parquet":
        lines += _field(spec, "dataset", source.file, indent=6)
    else:
        lines += _field(spec, "file", source.file, indent=6) + _field(spec, "images", source.images, indent=6)
    if source.columns or source.lacking:
        lines += _field(spec, "columns", None, indent=6)
    for meaning, column in source.columns.items():
        lines += _field(VqaColumns, meaning, column, indent=8)
    for meaning in source.lacking:
        lines.append(f"        # Which of these is the {meaning}: {_one_line(', '.join(source.there))}?")
        lines += _field(VqaColumns, meaning, FILL_IN, indent=8)
    prompt = _field(spec, "prompt", "{question}\nAnswer with one word.")
    return lines + _commented(prompt, indent=6)


def _tune() -> list[str]:
    return [
        "tune:",
        *_field(Tune, "vision", "frozen", indent=2),
        *_field(Tune, "projector", "frozen", indent=2),
        *_field(Tune, "language", None, indent=2),
        *_field(Lora, "method", "lora", indent=4),
        *_field(Lora, "r", 16, indent=4),
        *_field(Lora, "lora_alpha", 32, indent=4),
        *_field(Lora, "target_modules", "all-linear", indent=4),
    ]


def _train() -> list[str]:
    stopping = [
        *_field(Train, "early_stopping", None),
        *_field(EarlyStopping, "patience_steps", 100, indent=2),
    ]
    return [
        "train:",
        *_field(Train, "num_train_epochs", 3, indent=2),
        *_field(Train, "global_batch_size", 16, indent=2),
        *_field(Train, "max_branches_per_context", 8, indent=2),
        *_field(Train, "learning_rate", 1e-4, indent=2),
        *_field(Train, "warmup_steps", 0.03, indent=2),
        *_field(Train, "gradient_checkpointing", True, indent=2),
        *_commented(stopping, indent=2),
    ]


def _evaluate() -> list[str]:
    first = _field(SetTask, "name", "held_out", indent=4)
    first[0] = first[0].replace("    name", "  - name", 1)
    return [
        "evaluate:",
        *first,
        *_field(SetTask, "from", "test", indent=4),
        *_field(SetTask, "metric", "exact_match", indent=4),
        *_field(SetTask, "max_new_tokens", 32, indent=4),
    ]


def _field(spec: type[Spec], name: str, value: object, *, indent: int = 0) -> list[str]:
    """Return a field's line, with its own help as the comment; None opens what is indented below."""
    helps = {field.alias or known: field.description for known, field in spec.model_fields.items()}
    start = " " * indent + (f"{name}:" if value is None else f"{name}: {_scalar(value)}")
    return [f"{start.ljust(_COMMENT_COLUMN)}  # {_one_line(helps[name] or '')}"]


def _commented(lines: Sequence[str], *, indent: int) -> list[str]:
    return [f"{' ' * indent}# {line}" for line in lines]


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN_SCALAR.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    if isinstance(value, float) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-05 as text; with a point it is a number.
        plain = repr(value)
        return plain if "." in plain or "e" not in plain else plain.replace("e", ".0e")
    # JSON's text is YAML's double-quoted text.
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
