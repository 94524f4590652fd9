"""Reading SVG safely: nothing is fetched, nothing is expanded, and what is too large is refused.

Entities and references out of the file are how an SVG reads other files, calls on other machines, or grows without
bound ("billion laughs"). None of them is needed to draw, so none is followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from finesight.errors import DataError

MAX_BYTES = 2 * 1024**2
MAX_DEPTH = 100
MAX_ELEMENTS = 20_000

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s{0,9}=\s{0,9}["']([\w.-]{1,40})["']""")
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_INSIDE = re.compile(r"""\s*["']?\s*(?:#|data:)""")
_EMBEDDED_PICTURE = re.compile(r"\s*data:image/(?:png|jpe?g|gif|webp)[;,]", re.IGNORECASE)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the SVG namespace, or of none; elements of other namespaces are not kept."""

    name: str
    attributes: Mapping[str, str]
    """Without those of other namespaces; `xlink:href` is `href`."""
    line: int
    children: list[Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    """The pieces of a style sheet; empty for every other element."""

    def walk(self) -> Iterator[Element]:
        """Yield this element and all below it, in the file's order."""
        pending = [self]
        while pending:
            element = pending.pop()
            yield element
            pending += reversed(element.children)


def read_svg(path: Path) -> str:
    """Return the text of an SVG file, decoded as its byte order mark or XML declaration says; else as UTF-8.

    Raises `DataError` for what is missing, larger than 2 MiB, compressed or not text. `parse_svg` looks at the rest.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise _too_large(str(path))
    if content.startswith(_GZIP):
        raise DataError(f"{path}: compressed", hint="unpack it first: gunzip --suffix .svgz")
    declared = _ENCODING.match(content)
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), encoding)
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{path}: not text in {encoding}: {error}", hint="save it again as UTF-8") from error


def parse_svg(text: str, name: str = "SVG") -> Element:
    """Return the root of an SVG. `name` is what errors call it.

    Raises `DataError`, with the line, for what is not well-formed, not SVG, declares entities, refers to anything
    outside the file, or exceeds 2 MiB, 100 levels or 20,000 elements.
    """
    if len(text) > MAX_BYTES:
        raise _too_large(name)
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: not text: {error.reason}") from error
    return _Reader(name).read(content)


class _Reader:
    """Builds the tree from expat's calls, and refuses as soon as there is something to refuse."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._elements = 0
        self._depth = 0
        self._foreign_since = 0
        """The depth at which another namespace began; 0 outside of any."""
        self._open: list[Element] = []
        self._root: Element | None = None
        # The text is decoded already, so a declaration of another encoding no longer holds.
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text
        self._parser.ProcessingInstructionHandler = self._refuse_style_sheet
        self._parser.EntityDeclHandler = self._refusal("declares an entity")
        self._parser.ExternalEntityRefHandler = self._refusal("refers to an entity outside the file")
        self._parser.SkippedEntityHandler = self._refusal("refers to an entity that it does not declare")

    def read(self, content: bytes) -> Element:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            raise self._fault(f"not well-formed: {expat.ErrorString(error.code)}", line=error.lineno) from error
        if self._root is None or self._root.name != "svg":
            found = f"the root is <{self._root.name}>" if self._root else "the root is of another namespace"
            raise DataError(f"{self._name}: not an SVG: {found}")
        return self._root

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise self._fault(f"nested deeper than {MAX_DEPTH} levels")
        if self._elements > MAX_ELEMENTS:
            raise self._fault(f"more than {MAX_ELEMENTS:,} elements")
        namespace, _, name = qualified.rpartition(" ")
        if self._foreign_since or namespace not in ("", _SVG):
            self._foreign_since = self._foreign_since or self._depth
            return
        kept = {key: value for key, value in attributes.items() if " " not in key}
        if (link := attributes.get(f"{_XLINK} href")) is not None:
            kept.setdefault("href", link)
        self._refuse_references(name, kept)
        element = Element(name, kept, self._parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        if not self._foreign_since:
            closed = self._open.pop()
            if closed.name == "style":
                self._refuse_urls("".join(closed.text), imports=True)
        elif self._foreign_since == self._depth:
            self._foreign_since = 0
        self._depth -= 1

    def _add_text(self, text: str) -> None:
        if self._open and not self._foreign_since and self._open[-1].name == "style":
            self._open[-1].text.append(text)

    def _refuse_references(self, name: str, attributes: Mapping[str, str]) -> None:
        for key, value in attributes.items():
            if key == "href" and name != "a" and not value.lstrip().startswith("#"):
                picture = name in ("image", "feImage") and _EMBEDDED_PICTURE.match(value)
                if value.strip() and not picture:
                    raise self._outside(value)
            elif key != "href":
                self._refuse_urls(value)

    def _refuse_urls(self, text: str, *, imports: bool = False) -> None:
        lowered = text.lower()
        if imports and "@import" in lowered:
            raise self._outside("@import")
        for target in lowered.split("url(")[1:]:
            if not _INSIDE.match(target):
                raise self._outside(target.split(")")[0])

    def _refuse_style_sheet(self, target: str, _: str) -> None:
        if target.lower() == "xml-stylesheet":
            raise self._outside("xml-stylesheet")

    def _refusal(self, what: str) -> Callable[..., int]:
        def refuse(*_: object) -> int:
            raise self._fault(what, hint="nothing is expanded or fetched; save it again as plain SVG")

        return refuse

    def _outside(self, target: str) -> DataError:
        hint = "nothing is fetched; put it into the file, or take it out"
        return self._fault(f"refers to something outside the file: {target.strip()[:80]}", hint=hint)

    def _fault(self, what: str, *, line: int = 0, hint: str = "") -> DataError:
        return DataError(f"{self._name}:{line or self._parser.CurrentLineNumber}: {what}", hint=hint)


def _too_large(name: str) -> DataError:
    return DataError(f"{name}: larger than {MAX_BYTES // 1024**2} MiB", hint="a drawing that large is no text to read")
