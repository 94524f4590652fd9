"""`--set train.num_train_epochs=1`: changes to a recipe from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finesight.recipe import yaml_text
from finesight.recipe.specification import FieldPath


@dataclass(frozen=True)
class Override:
    """One change that was made: where, and the words it was asked for with."""

    path: FieldPath
    text: str


class _Refused(Exception):
    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def apply_overrides(content: Any, overrides: Sequence[str]) -> tuple[list[Override], list[tuple[str, str, str]]]:
    """Change `content` in place; return what was changed, and the faults as (override, what, hint).

    A value is read as YAML. Mappings on the way that do not exist yet are made; list items are not.
    """
    done: list[Override] = []
    faults: list[tuple[str, str, str]] = []
    for text in overrides:
        try:
            done.append(Override(_apply(content, text), text))
        except _Refused as refused:
            faults.append((text, refused.what, refused.hint))
    return done, faults


def _apply(content: Any, text: str) -> FieldPath:
    dotted, equals, value_text = text.partition("=")
    names = [name.strip() for name in dotted.split(".")]
    if not equals or not all(names):
        raise _Refused("not a change to a recipe", "write it as FIELD.FIELD=VALUE, e.g. train.num_train_epochs=1")
    value, _, value_faults = yaml_text.parse(value_text)
    if value_faults:
        raise _Refused(f"the value: {value_faults[0].what}", value_faults[0].hint)
    path: list[str | int] = []
    here = content
    for name in names[:-1]:
        step = _step(here, name, path, text)
        path.append(step)
        if isinstance(here, dict) and here.get(step) is None:
            here[step] = {}
        here = here[step]
    step = _step(here, names[-1], path, text)
    here[step] = value
    return (*path, step)


def _step(here: Any, name: str, path: Sequence[str | int], text: str) -> str | int:
    where = ".".join(map(str, path)) or "the recipe"
    if isinstance(here, dict):
        return name
    if isinstance(here, list):
        if not name.isdecimal():
            raise _Refused(f"{where} is a list, and `{name}` is no place in it", f"write {where}.0 for its first item")
        if int(name) >= len(here):
            last = f"the last is {len(here) - 1}" if here else "it is empty"
            raise _Refused(f"{where} has no item {name}", f"items are counted from 0, and {last}")
        return int(name)
    rest = text.partition("=")[0].split(".")[len(path) :]
    raise _Refused(
        f"{where} is `{here}`, which has no field `{name}`",
        f"set the whole of it, as --set '{where}={{{'.'.join(rest)}: …}}'",
    )
