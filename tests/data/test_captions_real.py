"""Real captions: COCO's photographs, and OpenMoji's drawings with their names in two languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from finesight.data.sources.read import read_source
from finesight.recipe.sources import AnySource
from finesight.schema import Example

RUSSIAN = ["cldr/annotations/ru/annotations.json", "cldr/annotationsDerived/ru/annotations.json"]
OPENMOJI = {
    "kind": "svg_captions",
    "file": "openmoji.json",
    "xml": None,
    "file_name": "color/svg/{hexcode}.svg",
    "caption": "annotation",
    "question": "What is this?",
    "names": [{"files": RUSSIAN, "question": "Что это?"}],
}


def read(words: Mapping[str, object], root: Path) -> list[Example]:
    if not root.is_dir():
        pytest.skip(f"the real data, ../shared/data/{root.name}, are not there")
    spec: AnySource = TypeAdapter(AnySource).validate_python(words)
    return read_source(spec, root)


@pytest.mark.parametrize(("split", "images", "captions"), [("train2017", 39, 195), ("val2017", 69, 345)])
def test_all_images_of_coco_captions_are_found(split: str, images: int, captions: int, shared: Path) -> None:
    words = {"kind": "coco_captions", "file": f"annotations/captions_{split}.json", "images": split}
    examples = read(words, shared / "data" / "captions_coco")
    assert len(examples) == captions
    assert set(Counter(example.group for example in examples).values()) == {5}
    pictures = {example.images[0].content_hash(): example.images[0] for example in examples}
    assert len(pictures) == images
    assert all(min(picture.open().size) > 200 for picture in pictures.values())
    for example in examples:
        assert example.references[0] == example.answer == " ".join(example.answer.split())
        assert len(example.references) == 5


def test_openmoji_is_read_in_two_languages(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = read(OPENMOJI, shared / "data" / "svg_openmoji")
    by_language = Counter(example.tags.get("language", "") for example in examples)
    assert by_language == {"": 1_500, "ru": 1_186}
    assert all(example.context.startswith("style=fill:") and not example.images for example in examples)
    russian = [example for example in examples if example.tags]
    assert {example.question for example in russian} == {"Что это?"}
    assert (examples[0].answer, examples[1].answer) == ("grinning face", "широко улыбается")
    assert examples[0].context == examples[1].context
    said = capsys.readouterr().err
    assert "openmoji.json: rows without a name in ru: 314 of 1,500" in said
    # A few drawings are the same picture under two names, and must not stand in two sets.
    groups = {example.context: example.group for example in examples}
    assert len(groups) == len(set(groups.values())) > 1_450
