"""Records of captions, and the real ones with known scores."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finesight.schema import Record

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or importlib.util.find_spec("pycocoevalcap") is None,
    reason="no Java, or the extra `captions` is not installed",
)
LONG = "a brown dog " * 834
"""10,008 characters."""


def caption_records(*captions: tuple[str, Sequence[str]]) -> list[Record]:
    """Return a record for each prediction with its references."""
    return [Record(str(number), said, tuple(references)) for number, (said, references) in enumerate(captions)]


def coco126(shared: Path) -> tuple[list[Record], dict[str, Any]]:
    """Return 126 captions with five references each, and all that is known of them."""
    golden = _read(shared / "fixtures" / "captions_coco126" / "golden_fakecap2014_in_val2017_126.json")
    items = golden["items"]
    return caption_records(*((item["candidate"], item["references"]) for item in items)), golden


def fixture_captions(shared: Path, name: str) -> list[Record]:
    """Return the captions of a fixture: coco126, good, bad (of two images) or nlg_eval."""
    if name == "coco126":
        return coco126(shared)[0]
    folder = shared / "fixtures"
    if name == "nlg_eval":
        said, first, second = (
            (folder / "captions_nlg_eval" / file).read_text("utf-8").splitlines()
            for file in ("hyp.txt", "ref1.txt", "ref2.txt")
        )
        return caption_records(*((text, pair) for text, *pair in zip(said, first, second, strict=True)))
    captions = _read(folder / "captions_two_images" / f"{name}_captions.json")
    references = _read(folder / "captions_two_images" / "refs.json")
    return caption_records(*((text, references[image]) for image, text in captions.items()))


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
