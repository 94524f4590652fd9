"""The page on data: what it says of recipes is a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from finesight.recipe.sources import AnySource

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_every_source_on_the_page_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    sources = [TypeAdapter(AnySource).validate_python(words) for words in yaml.safe_load(block)]
    assert len(sources) >= 11
    assert {source.kind for source in sources} == set(re.findall(r"\| `(\w+)` \|", PAGE.read_text("utf-8"))) - {
        "vqa_csv",
        "scenes",
    }
