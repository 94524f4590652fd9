"""Write what follows from the code: README.md's file tree, docs/recipe.md, the tables in docs/starter.md and models.md.

python docs/generate.py            # writes all of it
python docs/generate.py --check    # fails when one is out of date, as the tests do
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from finesight.models.blueprint import read_blueprints
from finesight.recipe.captioners import CaptionersRecipe
from finesight.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "finesight"
WIDTH = 30
SHIPPED = PACKAGE / "shipped"
LANGUAGES = {"en": "English", "ru": "Russian"}
SCORES = {"model": "", "blind": "question alone", "majority_by_question_type": "majority by type"}
"""Which of a task's scores the table shows, with their names; the model's column bears the language's."""
FLOORS = (
    "cli", "run.py", "rehearse.py", "export.py", "launch", "plan", "look", "continuing.py", "exporting", "opening.py",
    "report", "train", "tune", "evaluate", "branches", "models", "data", "recipe", "recipes",
)  # fmt: skip


def file_tree() -> str:
    """Return the package's files from the top floor down, each with the first line of its docstring."""
    lines = ["```", "src/finesight/"]
    names = [*FLOORS, *sorted(path.name for path in PACKAGE.glob("*.py") if path.name not in FLOORS)]
    for name in names:
        path = PACKAGE / name
        if path.is_dir():
            lines.append(f"  {name}/")
            lines += [f"    {file.relative_to(path)!s:<{WIDTH}}{phrase(file)}" for file in files_below(path)]
        elif phrase(path):
            lines.append(f"  {name:<{WIDTH + 2}}{phrase(path)}")
    return "\n".join([*lines, "```"])


def files_below(folder: Path) -> list[Path]:
    """Return a room's files that have something to say; blueprints have a table of their own in docs/models.md."""
    files = (path for path in sorted(folder.rglob("*")) if path.parent.name != "blueprints")
    return [path for path in files if path.suffix in (".py", ".yaml") and phrase(path)]


def phrase(path: Path) -> str:
    """Return the first sentence of a file's docstring or leading comment."""
    text = path.read_text("utf-8")
    if path.suffix == ".yaml":
        first = text.splitlines()[0].removeprefix("# ")
    else:
        docstring = ast.get_docstring(ast.parse(text)) or ""
        first = " ".join(docstring.split("\n\n")[0].split())
    return first.split(". ")[0].removesuffix(".")


def recipe_reference() -> str:
    """Return every field of a recipe with its type, default and help."""
    lines = [
        "# The recipe, field by field",
        "",
        "Written by `python docs/generate.py` from the code. A recipe is one YAML file; `finesight new FOLDER` writes",
        "a commented one. Paths are relative to `--data-root` (default: the recipe's own folder).",
        "",
    ]
    seen: set[type[BaseModel]] = set()
    for spec in (*specs(Recipe, seen), *specs(CaptionersRecipe, seen)):
        lines += [f"## {title(spec)}", "", " ".join((spec.__doc__ or "").split()), ""]
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        lines += [field_row(field.alias or name, field) for name, field in spec.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def specs(spec: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """Yield a specification and all that it is made of, each once."""
    seen = set() if seen is None else seen
    if spec not in seen:
        seen.add(spec)
        yield spec
        for field in spec.model_fields.values():
            for part in models_in(field.annotation):
                yield from specs(part, seen)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the specifications that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def title(spec: type[BaseModel]) -> str:
    """Return a heading: the specification's name, and the kind that chooses it."""
    kind = spec.model_fields.get("kind")
    if kind is not None and (words := typing.get_args(kind.annotation)):
        return f"{spec.__name__} (`kind: {words[0]}`)"
    return spec.__name__


def field_row(name: str, field: FieldInfo) -> str:
    """Return a field's row of the table."""
    default = "required" if field.is_required() else f"`{show_default(field)}`"
    return f"| `{name}` | {show_type(field.annotation)} | {default} | {' '.join((field.description or '').split())} |"


def show_default(field: FieldInfo) -> Any:
    """Return a default as a recipe would write it."""
    value = None if field.default is PydanticUndefined else field.default
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=False, by_alias=True)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    return list(value) if isinstance(value, tuple) else value


def show_type(annotation: Any) -> str:
    """Return an annotation in a reader's words."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(show_type(part) for part in arguments if part is not type(None))
    if origin is typing.Annotated:
        return show_type(arguments[0])
    if origin in (tuple, list):
        return f"list of {show_type(arguments[0])}"
    if origin is dict:
        return "mapping"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(annotation, annotation.__name__)


def score_table(name: str) -> str:
    """Return what a shipped model scores, and its baselines, as its record has it: all answers, then each type."""
    scores = json.loads((SHIPPED / name / "record.json").read_text("utf-8"))["scores"]
    tasks = {language: scores[language] for language in LANGUAGES if language in scores}
    shown = [score for score in SCORES if all(score in task["scores"] for task in tasks.values())]
    heads = [SCORES[score] or LANGUAGES[language] for language in tasks for score in shown]
    types = {language: {row["value"]: row for row in task["by"]["question_type"]} for language, task in tasks.items()}
    rows = [("all", tasks), *((kind, {language: types[language][kind] for language in tasks}) for kind in types["en"])]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for kind, row in rows[: 1 if len(rows) == 2 else None]:  # a single type is all
        values = [row[language]["scores"][score]["score"] for language in tasks for score in shown]
        cells = [f"{100 * value:.1f} %" for value in values]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def starter_page(path: Path) -> str:
    """Return the page on the models that come with finesight, with the scores of each."""
    text = path.read_text("utf-8")
    for record in sorted(SHIPPED.glob("*/record.json")):
        name = record.parent.name
        text = fill(text, f"scores of {name}", score_table(name))
    return text


def models_page(path: Path) -> str:
    """Return the page on models, with a row for each blueprint."""
    lines = ["| on the hub | what it is | known | inferred |", "|---|---|---|---|"]
    for known in read_blueprints():
        names = ", ".join(f"`{name}`" for name in known.names)
        lines.append(f"| {names} | {known.about} | {known.known} | {known.inferred} |")
    return fill(path.read_text("utf-8"), "blueprints", "\n".join(lines))


def fill(text: str, name: str, content: str) -> str:
    """Return a page's text with what stands between two marks replaced."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"{start} and {end} have to stand in the page")
    return re.sub(f"{start}.*{end}", lambda _: f"{start}\n{content}\n{end}", text, flags=re.DOTALL)


def outputs() -> dict[Path, str]:
    """Return each generated file with the content it should have."""
    docs = ROOT / "docs"
    return {
        ROOT / "README.md": fill((ROOT / "README.md").read_text("utf-8"), "tree", file_tree()),
        docs / "recipe.md": recipe_reference(),
        docs / "starter.md": starter_page(docs / "starter.md"),
        docs / "models.md": models_page(docs / "models.md"),
    }


def main() -> int:
    """Write the files, or with --check say which is out of date."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true")
    check = arguments.parse_args().check
    stale = 0
    for path, content in outputs().items():
        old = path.read_text("utf-8") if path.exists() else ""
        if old != content:
            stale += 1
            if check:
                sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), content.splitlines(True), str(path)))
            else:
                path.write_text(content, "utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
