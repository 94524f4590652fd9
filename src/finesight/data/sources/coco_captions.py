"""Captions in COCO's form (Chen et al. 2015): {images: [{id, file_name}], annotations: [{image_id, id, caption}]}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finesight.data.groups import image_group
from finesight.data.sources.captions import Subject, caption_examples, caption_of
from finesight.data.sources.cells import text_of
from finesight.data.sources.faults import Faults, did_you_mean
from finesight.data.sources.image_folder import find_images
from finesight.data.sources.json_document import read_document
from finesight.data.sources.json_rows import Row, json_name
from finesight.data.sources.names import id_prefix
from finesight.recipe.sources import CocoCaptions
from finesight.schema import Example

Captions = dict[str, dict[str, str]]
"""By image id: the captions by their example's id."""


def read_coco_captions(spec: CocoCaptions, data_root: Path) -> list[Example]:
    """Return an example for each caption, image by image, in the order of the file's images.

    All captions of an image are right answers to each. Images without a caption are not asked about, nor looked for.
    Raises one `DataError` that names every fault.
    """
    path = data_root / spec.file
    faults = Faults(str(path))
    lists = _lists_of(read_document(path, data_root), faults)
    faults.raise_if_any()

    images = _by_id(_rows(lists["images"], "image", faults), faults)
    annotations = list(_rows(lists["annotations"], "annotation", faults))
    captions = _captions(annotations, images, id_prefix(spec), faults)
    names = {
        image_id: name
        for image_id, row in images.items()
        if image_id in captions
        and (name := text_of(row.content.get("file_name"), "file_name", row.where, faults)) is not None
    }
    captioned = [images[image_id] for image_id in names]
    found = find_images(captioned, [[name] for name in names.values()], data_root / spec.images, data_root, faults)
    faults.raise_if_any()
    return [
        example
        for image_id, name in names.items()
        for example in caption_examples(
            Subject(image_group(found[name]), (found[name],)), spec.question, captions[image_id]
        )
    ]


def _lists_of(document: Any, faults: Faults) -> Mapping[str, list[Any]]:
    """Return the two lists of a captions file, after noting what keeps a file from being one."""
    if not isinstance(document, dict):
        rows = isinstance(document, list)
        faults.add(
            f"{json_name(document)}, not an object of images and annotations",
            hint="a list of rows is read with kind: vqa_json, or llava_json where they are conversations"
            if rows
            else "",
        )
        return {}
    for name in ("images", "annotations"):
        if name not in document:
            there = ", ".join(sorted(document)) or "nothing"
            faults.add(f"no `{name}`; there is {there}", hint=did_you_mean(name, document))
        elif not isinstance(document[name], list):
            faults.add(f"`{name}` is {json_name(document[name])}, not a list")
    if not faults:
        _check_annotations(document["annotations"], faults)
    return document


def _check_annotations(annotations: Sequence[Any], faults: Faults) -> None:
    if not annotations:
        faults.add("no captions: `annotations` is empty")
    there = {name for row in annotations if isinstance(row, dict) for name in row}
    if there and "caption" not in there:
        # COCO publishes boxes and keypoints of the same images in files of the same form.
        faults.add(
            f"no annotation has a `caption`; they have {', '.join(sorted(there))}",
            hint=did_you_mean("caption", there) or "COCO's captions are in the files named captions_…json",
        )


def _rows(listed: Sequence[Any], what: str, faults: Faults) -> Iterator[Row]:
    for number, content in enumerate(listed, start=1):
        where = f"{what} {number:,}"
        if isinstance(content, dict):
            yield Row(number, where, content)
        else:
            faults.add(f"not an object but {json_name(content)}", where)


def _by_id(images: Iterator[Row], faults: Faults) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in images:
        image_id = text_of(row.content.get("id"), "id", row.where, faults)
        if image_id in found:
            faults.add("several images have one id", f"{found[image_id].where} and {row.where}: {image_id}")
        elif image_id is not None:
            found[image_id] = row
    return found


def _captions(annotations: Sequence[Row], images: Mapping[str, Row], prefix: str, faults: Faults) -> Captions:
    # COCO's own have ids; files made after its form leave them out, and are numbered.
    are_numbered = not any("id" in row.content for row in annotations)
    captions: Captions = {}
    taken: set[str] = set()
    for row in annotations:
        name = str(row.number) if are_numbered else text_of(row.content.get("id"), "id", row.where, faults)
        image_id = text_of(row.content.get("image_id"), "image_id", row.where, faults)
        caption = caption_of(row.content.get("caption"), row.where, faults)
        if name is None or image_id is None or caption is None:
            continue
        if image_id not in images:
            faults.add("a caption of an image that `images` does not list", f"{row.where}: image_id {image_id}")
        elif name in taken:
            faults.add("several annotations have one id", f"{row.where}: {name}")
        taken.add(name)
        captions.setdefault(image_id, {})[f"{prefix}:{name}"] = caption
    return captions
