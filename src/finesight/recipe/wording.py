"""Pydantic's errors in a person's words: which field, what it takes, what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from finesight.errors import nearest_name
from finesight.recipe.base import FieldFault, Spec
from finesight.recipe.specification import (
    FieldPath,
    Place,
    field_names,
    follow,
    help_of,
    is_spec,
    members_of,
    tag_of,
    value_at,
)
from finesight.recipe.train import TRANSFORMERS_NAMES, Train


class Invalid(NamedTuple):
    """One fault: the place in the recipe, what is wrong there, and what helps."""

    where: FieldPath
    what: str
    hint: str = ""
    meant: str | None = None
    """The field that an unknown one probably means."""


def explain(root: type[Spec], content: Mapping[str, Any], error: ValidationError) -> list[Invalid]:
    """Return the faults that `error` reports on `content`, one for each place.

    A field that is missing because its name is misspelt is told once, at the misspelt one.
    """
    faults: dict[FieldPath, Invalid] = {}
    for detail in error.errors(include_url=False):
        place = follow(root, detail["loc"], content)
        if place is not None and isinstance(fault := detail.get("ctx", {}).get("error"), FieldFault):
            place = place._replace(path=(*place.path, *fault.where))
        if place is None or place.path in faults:
            continue
        value = value_at(content, place.path)
        if detail["type"] == "union_tag_invalid" and isinstance(value, dict):
            place = place._replace(path=(*place.path, "kind"))
        if detail["type"] == "too_short" and len(value) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts only the valid items, and the others have faults of their own
        if detail["type"] == "extra_forbidden":
            faults[place.path] = _unknown_field(place, value_at(content, place.path[:-1]), root)
        else:
            faults[place.path] = Invalid(place.path, *_words(detail, place, value))
    misspelt = {(*fault.where[:-1], fault.meant) for fault in faults.values() if fault.meant}
    return [fault for fault in faults.values() if not (fault.where in misspelt and fault.what == _MISSING)]


_MISSING = "is missing"
_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def _words(detail: Mapping[str, Any], place: Place, value: Any) -> tuple[str, str]:
    """Return what is wrong, and the hint."""
    match detail["type"]:
        case "missing":
            return _MISSING, help_of(place.owner, str(place.path[-1]))
        case "union_tag_not_found" | "union_tag_invalid" if isinstance(value, dict):
            return _wrong_kind(value, place.annotation)
        case "value_error":
            return str(detail["ctx"]["error"]), ""
        case "too_short":
            return "is an empty list", "give at least one item"
        case "string_pattern_mismatch":
            return f"{_shown(value)} cannot be a name", "use letters, digits, `-`, `_`, `.`; a letter or digit first"
        case limit if limit in _LIMITS:
            key, words = _LIMITS[limit]
            return f"must be {words} {detail['ctx'][key]:g}, not {_shown(value)}", ""
        case _:
            return f"must be {_taken_by(place.annotation)}, not {_shown(value)}", _hint_for(value, place.annotation)


def _unknown_field(place: Place, around: Mapping[str, Any], root: type[Spec]) -> Invalid:
    name, names = str(place.path[-1]), field_names(place.owner)
    if name == "kind" and "from" in around and "from" in names:
        return Invalid(place.path, "stands beside `from`", "a task has `from` (a set of this run) or `kind`, not both")
    what = "there is no such field here"
    if place.owner is Train and name in TRANSFORMERS_NAMES:
        return Invalid(place.path, what, TRANSFORMERS_NAMES[name])
    if near := nearest_name(name, names):
        return Invalid(place.path, what, f"did you mean `{near}`?", meant=near)
    if name in field_names(root):
        return Invalid(place.path, what, f"`{name}` belongs at the top of the recipe")
    return Invalid(place.path, what, f"the fields are {', '.join(names)}")


def _wrong_kind(value: Mapping[str, Any], annotation: Any) -> tuple[str, str]:
    tags = [tag_of(member) for member in members_of(annotation)]
    kinds = [tag for tag in tags if tag != "from"]
    listed = f"the kinds are {_either(kinds, 'and')}"
    if "kind" in value:
        near = nearest_name(str(value["kind"]), kinds)
        return f"there is no kind {_shown(value['kind'])}", f"did you mean `{near}`?" if near else listed
    if "from" in tags:
        return "has neither `from` nor `kind`", f"write `from: test`, or name a source of its own; {listed}"
    return "has no `kind`", listed


def _hint_for(value: Any, annotation: Any) -> str:
    """Return how to write the value that was probably meant."""
    members = members_of(annotation)
    words = [str(word) for member in members if get_origin(member) is Literal for word in get_args(member)]
    match value:
        case str() if near := nearest_name(value, words):
            return f"did you mean `{near}`?"
        case str() if bool in members and value.lower() in ("yes", "on", "no", "off"):
            return "write true" if value.lower() in ("yes", "on") else "write false"
        case str() if len(value.split()) == 1 and (items := _items_of(members)):
            names = [str(word) for item in items if get_origin(item) is Literal for word in get_args(item)]
            return f"write `[{nearest_name(value, names) or value}]`" if names or str in items else ""
        case str() if {int, float}.intersection(members) and _is_number(value):
            return "take the quotes away"
        case bool() if str in members:
            return f"put it in quotes: '{str(value).lower()}'"
        case int() | float() if str in members:
            return f"put it in quotes: '{value}'"
        case float() if int in members and value.is_integer():
            return f"write {int(value)}"
        case _:
            return ""


def _items_of(members: Sequence[Any]) -> list[Any]:
    """Return what the lists among the alternatives take; nothing where there are none."""
    return [item for member in members if get_origin(member) is tuple for item in members_of(get_args(member)[0])]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _either(names: Sequence[str], last: str) -> str:
    """Return names in quotes as an enumeration in words."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def _shown(value: Any) -> str:
    """Return a value as it would stand in the file, short."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            text = str(value)
            return f"`{text}`" if len(text) <= 60 else f"`{text[:57]}…`"


_IN_WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _taken_by(annotation: Any) -> str:
    """Return what a field takes, as "a whole number" or "`frozen`, `full` or a mapping (method, r, …)"."""
    members = members_of(annotation)
    if len(members) > 1 and all(is_spec(member) for member in members):
        return "a mapping that says its `kind`"
    alternatives: list[str] = []
    for member in members:
        if get_origin(member) is Literal:
            alternatives += [f"`{word}`" for word in get_args(member)]
        elif is_spec(member):
            names = field_names(member)
            alternatives.append(f"a mapping ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
        elif get_origin(member) is tuple:
            alternatives.append("a list")
        else:
            alternatives.append(_IN_WORDS.get(member, "a mapping"))
    return alternatives[0] if len(alternatives) == 1 else f"{', '.join(alternatives[:-1])} or {alternatives[-1]}"
