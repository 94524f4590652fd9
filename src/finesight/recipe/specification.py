"""The recipe's types, walked by the fields of a file: which piece owns a place, and what may stand there."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from finesight.recipe.base import Spec

FieldPath = tuple[str | int, ...]
"""The names and list positions that lead to a value."""


class Place(NamedTuple):
    """Where an error's location leads."""

    path: FieldPath
    owner: type[Spec]
    """The innermost piece of the recipe that the path enters."""
    annotation: Any
    """The type of the value at the path; None where the owner knows no such field."""


def is_spec(annotation: Any) -> bool:
    """Return whether a type is a piece of a recipe."""
    return isinstance(annotation, type) and issubclass(annotation, Spec)


def members_of(annotation: Any) -> list[Any]:
    """Return the alternatives of a union without None, however it is written; of anything else, itself."""

    def each(part: Any) -> Iterator[Any]:
        if get_origin(part) is Annotated:
            yield from each(get_args(part)[0])
        elif get_origin(part) in (Union, types.UnionType):
            for alternative in get_args(part):
                yield from each(alternative)
        elif part is not type(None):
            yield part

    return list(each(annotation))


def field_names(owner: type[Spec]) -> list[str]:
    """Return the names of a piece's fields as they are written in a file."""
    return [field.alias or name for name, field in owner.model_fields.items()]


def help_of(owner: type[Spec], name: str) -> str:
    """Return what helps a person to fill a field: its docstring, or the only word it takes."""
    field = next(field for own, field in owner.model_fields.items() if name in (own, field.alias))
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"write `{name}: {words[0]}`" if len(words) == 1 else (field.description or "").rstrip(".")


def tag_of(member: Any) -> str:
    """Return what tells a member of a `kind:` union from the others; a task on the run's own sets has `from`."""
    if not is_spec(member):
        return ""
    kind = member.model_fields.get("kind")
    return str(get_args(kind.annotation)[0]) if kind else "from"


def value_at(content: Any, path: FieldPath) -> Any:
    """Return the value that stands at `path`, None where there is none."""
    for name in path:
        if isinstance(content, dict):
            content = content.get(str(name))
        elif isinstance(content, list) and isinstance(name, int):
            content = content[name]
        else:
            return None
    return content


def follow(root: type[Spec], location: FieldPath, content: Any) -> Place | None:
    """Walk pydantic's location down the types, leaving out the names that it gives to the members of a union.

    Returns None for an error about a member of a union that the value was not meant as: a mapping that is no valid
    `lora` need not be told that it is not the word `frozen` either.
    """
    path: FieldPath = ()
    owner: type[Spec] = root
    annotation: Any = root
    for element in location:
        members = members_of(annotation)
        if len(members) > 1:
            meant = _member_meant(members, value_at(content, path))
            if meant is None:
                return Place(path, owner, annotation)
            if element not in _labels(meant):
                return None
            annotation = meant
            continue
        member = members[0]
        path = (*path, element)
        if is_spec(member):
            owner = member
            fields = {field.alias or name: field.annotation for name, field in member.model_fields.items()}
            annotation = fields.get(str(element))
        else:
            annotation = get_args(member)[0] if get_origin(member) is tuple else None
    return Place(path, owner, annotation)


def _member_meant(members: list[Any], value: Any) -> Any:
    """Return the member of a union that a value is an attempt at, None when it fits none of them."""
    if isinstance(value, dict):
        specs = [member for member in members if is_spec(member)]
        if len(specs) == 1:
            return specs[0]
        has_from = "from" in value and any(tag_of(spec) == "from" for spec in specs)
        tag = "from" if has_from else str(value.get("kind"))
        return next((spec for spec in specs if tag_of(spec) == tag), None)
    if isinstance(value, list):
        return next((member for member in members if get_origin(member) is tuple), None)
    return None


def _labels(member: Any) -> set[str]:
    """Return the names by which pydantic's locations may speak of a union's member."""
    if is_spec(member):
        return {member.__name__, tag_of(member)}
    return {"tuple[" + ", ".join("..." if part is ... else part.__name__ for part in get_args(member)) + "]"}
