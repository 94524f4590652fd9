"""YAML as recipes use it: YAML 1.2's plain values, every mistake with its line, and no surprises in size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import yaml

MAX_DEPTH = 60
"""Levels of nesting; a recipe has about six."""
MAX_VALUES = 100_000
"""Values in a file once every alias is written out."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_VALUES = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9]{1,40}|0x[0-9a-fA-F]{1,40}"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"<<"), ["<"]),
)
"""What a word without quotes may mean (YAML 1.2's core schema): `no` and `on` are text, `1e-5` is a number."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a text: at which line (from 1), and which field where that is known."""

    line: int
    where: str
    what: str
    hint: str = ""


class _Loader(yaml.SafeLoader):
    """Reads the plain values above and no tag beyond lists, mappings and text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own class attribute)
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}


class _Dumper(yaml.SafeDumper):
    """Writes values so that this reader and any YAML 1.1 reader read them back alike."""

    yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012  (PyYAML's own class attribute)
        key: list(pairs) for key, pairs in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists under their field."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Write repeated values out: a recipe is read by people."""
        return True


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value)
    if not _PLAIN_VALUES[2][1].fullmatch(text):
        raise yaml.constructor.ConstructorError(None, None, f"`{text}` is not a whole number", node.start_mark)
    return int(text, 16) if text.startswith("0x") else int(text)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(node.value)
    if not (_PLAIN_VALUES[3][1].fullmatch(text) or _PLAIN_VALUES[2][1].fullmatch(text)) or not isfinite(float(text)):
        raise yaml.constructor.ConstructorError(None, None, f"`{text}` is not a finite number", node.start_mark)
    return float(text)


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    text = str(node.value).lower()
    if text not in ("true", "false"):
        raise yaml.constructor.ConstructorError(None, None, f"`{text}` is not true or false", node.start_mark)
    return text == "true"


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise yaml.constructor.ConstructorError(None, None, "half a character (a surrogate)", node.start_mark)
    return text


def _construct_unknown(loader: _Loader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag} has no meaning here", node.start_mark)


_constructors: dict[str | None, Callable[..., Any]] = {
    _TAG + "null": yaml.SafeLoader.construct_yaml_null,
    _TAG + "bool": _construct_bool,
    _TAG + "int": _construct_int,
    _TAG + "float": _construct_float,
    _TAG + "str": _construct_text,
    _TAG + "seq": yaml.SafeLoader.construct_yaml_seq,
    _TAG + "map": yaml.SafeLoader.construct_yaml_map,
    None: _construct_unknown,
}
for _tag, _constructor in _constructors.items():
    _Loader.add_constructor(_tag, _constructor)
for _name, _pattern, _first in _PLAIN_VALUES:
    _anchored = re.compile(rf"^(?:{_pattern.pattern})$")
    _Loader.add_implicit_resolver(_TAG + _name, _anchored, _first)
    if _name in ("int", "float"):
        _Dumper.add_implicit_resolver(_TAG + _name, _anchored, _first)


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if all(character.isprintable() or character == "\n" for character in text):
        return dumper.represent_scalar(_TAG + "str", text, style="|" if "\n" in text else None)
    return dumper.represent_scalar(_TAG + "str", text, style='"')  # the one style that escapes every odd character


_Dumper.add_representer(str, _represent_text)


def dump(content: object) -> str:
    """Return `content` (mappings, lists, text, numbers) as YAML in its own order, which `parse` reads back equal."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def parse(text: str) -> tuple[Any, yaml.Node | None, list[Fault]]:
    """Return the content of a YAML text, its node tree (None when empty), and what is wrong with it.

    Where the tree itself cannot be trusted (syntax, depth, size), content and tree are None. Repeated keys are
    faults too, but leave the content readable, so that the other faults can be told as well.
    """
    try:
        if fault := _too_deep(text):
            return None, None, [fault]
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None, []
            if fault := _too_large(node):
                return None, None, [fault]
            repeated = list(_repeated_keys(node))
            return loader.construct_document(node), node, repeated
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        return None, None, [_syntax_fault(error)]
    except yaml.reader.ReaderError as error:
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        return None, None, [Fault(text.count("\n", 0, error.position) + 1, "", f"holds the character {character}",
                                  "write it as an escape inside double quotes, or take it out")]  # fmt: skip


def _syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    problem = error.problem or error.context or "not readable"
    hint = ""
    if "'\\t'" in problem:
        hint = "indent with spaces, not with tabs"
    elif "mapping values are not allowed" in problem:
        hint = "text with a colon and a space needs quotes; else look at the indentation"
    elif error.context:
        hint = f"{error.context} that starts on line {_line(error.context_mark)}"
    return Fault(_line(error.problem_mark or error.context_mark), "", f"not valid YAML: {problem}", hint)


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


def _too_deep(text: str) -> Fault | None:
    """Look at the nesting before anything recursive sees it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return Fault(_line(event.start_mark), "", f"nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _too_large(root: yaml.Node) -> Fault | None:
    """Measure the values as if every alias were written out, visiting each node once.

    An alias names a value that stands before it, so the recursion goes no deeper than the text is nested.
    """
    measured: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()
    faults: list[Fault] = []

    def measure(node: yaml.Node) -> tuple[int, int]:
        """Return how many values a node holds, and how many levels."""
        if id(node) in open_nodes:
            faults.append(Fault(_line(node.start_mark), "", "an alias stands inside the value that it repeats"))
            return 1, 1
        if id(node) not in measured:
            open_nodes.add(id(node))
            inside = [measure(child) for child in _children(node)]
            open_nodes.discard(id(node))
            values, levels = 1 + sum(size for size, _ in inside), 1 + max((depth for _, depth in inside), default=0)
            measured[id(node)] = values, levels
            for limit, reached, what in ((MAX_VALUES, values, "values"), (MAX_DEPTH, levels, "levels")):
                if reached > limit:
                    found = f"holds more than {limit:,} {what} once aliases are written out"
                    faults.append(Fault(_line(node.start_mark), "", found, "write out what you mean, without aliases"))
        return measured[id(node)]

    measure(root)
    return faults[0] if faults else None


def _repeated_keys(root: yaml.Node) -> Iterator[Fault]:
    seen: set[int] = set()
    waiting: list[tuple[yaml.Node, str]] = [(root, "")]
    while waiting:
        node, where = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend((child, _join(where, str(index))) for index, child in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            first_lines: dict[str, int] = {}
            for key, value in node.value:
                line = _line(key.start_mark)
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                if name in first_lines:
                    yield Fault(line, _join(where, name), f"stands here twice (first on line {first_lines[name]})")
                elif isinstance(key, yaml.ScalarNode):
                    first_lines[name] = line
                waiting.append((value, _join(where, name)))


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def line_of(root: yaml.Node | None, path: tuple[str | int, ...]) -> int:
    """Return the line (from 1) of the value at `path`, or of the nearest value around it."""
    line, node = 1, root
    for name in path:
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == name]
            if not pairs:
                break
            line, node = _line(pairs[-1][0].start_mark), pairs[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
            node = node.value[name]
            line = _line(node.start_mark)
        else:
            break
    return line
