"""How results are printed: text for people, JSON for programs, both on stdout."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_json(content: object) -> None:
    """Print `content` as indented JSON."""
    print(json.dumps(content, ensure_ascii=False, indent=2))


def print_rich(*renderables: RenderableType) -> None:
    """Print tables and other pieces of rich."""
    from rich.console import Console

    console = Console()
    for renderable in renderables:
        console.print(renderable, markup=False, highlight=False)


def print_prose(text: str) -> None:
    """Print paragraphs as wide as the terminal. An address that is longer than a line stays whole."""
    width = shutil.get_terminal_size().columns
    for paragraph in text.split("\n"):
        print(textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False))


def print_columns(rows: Sequence[tuple[str, Any]], indent: int = 2) -> None:
    """Print names and what is to be said of each, below one another."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{'':{indent}}{name:<{width}}  {text}".rstrip())
