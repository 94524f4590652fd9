"""Reading the page of `finesight look` back: what it loads, what it says, and its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path


@dataclass(frozen=True)
class ShownToken:
    """A token as the page shows it."""

    id: int
    position: int
    kind: str
    learned: bool


@dataclass
class Box:
    """The tokens of one box, and the text that they are shown as."""

    tokens: list[ShownToken] = field(default_factory=list)
    text: str = ""
    """Without image tokens; line ends as in the text itself."""


class LookPage(HTMLParser):
    """Collects what a browser would load and show, and checks that tags are closed in order."""

    void = frozenset({"meta", "img", "br", "line"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.boxes: list[Box] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.loads += [given[name] for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag not in self.void:
            self._open.append((tag, given))
        if given.get("class") == "tokens":
            self.boxes.append(Box())
        if tag == "i":
            self._take_tokens(given["title"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, given = self._open[-1] if self._open else ("", {})
        if tag != "style":
            self.words.append(data)
        if tag == "i" and given.get("class") != "chip":
            self.boxes[-1].text += data.replace("↵\n", "\n").replace("⇥\t", "\t")

    def _take_tokens(self, title: str) -> None:
        said = re.fullmatch(r"ids? ([\d ]+), positions? (\d+)(?: to (\d+))?", title)
        assert said is not None, title
        run, given = self._open[-2]
        first, last = int(said[2]), int(said[3] or said[2])
        ids = [int(each) for each in said[1].split()]
        ids *= 1 if len(ids) == last - first + 1 else last - first + 1
        for number, place in zip(ids, range(first, last + 1), strict=True):
            self.boxes[-1].tokens.append(ShownToken(number, place, given["class"], run == "u"))
