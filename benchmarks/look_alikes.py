"""How well look-alike pictures are told from different ones, on folders of pictures.

python benchmarks/look_alikes.py DATA/captions_coco DATA/vqa_rad DATA/mcq_puzzlevqa

For each folder, over files of different content: how many pairs have perceptual hashes that differ in at most 6 bits,
by pHash (which finesight uses) and by dHash; how many of pHash's pairs the second look leaves; and the share of copies
that are found, made in half and in a quarter of the width as JPEG of quality 60.
"""

from __future__ import annotations

import argparse
import io
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy
from numpy.typing import NDArray
from PIL import Image

from finesight.data.image_cache import hash_file
from finesight.data.images import upright_rgb
from finesight.data.look_alikes import LOOK_SIDE_PIXELS, MOST_DISTANCE, are_alike, hash_looks, look_of
from finesight.data.near_hashes import near_pairs

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}
SHARES_OF_WIDTH = (2, 4)
QUALITY = 60


def main() -> None:
    """Print a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", type=Path, nargs="+")
    header = ("pictures", "pHash pairs", "dHash pairs", "after look", "found 1/2", "found 1/4")
    print(f"{'folder':20} " + " ".join(f"{title:>12}" for title in header))
    for folder in parser.parse_args().folders:
        print(f"{folder.name:20} " + " ".join(f"{figure:>12}" for figure in measure(folder)), flush=True)


def measure(folder: Path) -> list[str]:
    """Return the figures of one folder as text, in the order of the header."""
    files = {hash_file(file): file for file in sorted(folder.rglob("*")) if file.suffix.lower() in ENDINGS}
    pictures = [open_picture(file) for file in files.values()]
    looks = stack(map(look_of, pictures))
    hashes = hash_looks(looks)
    near = list(near_pairs(hashes, MOST_DISTANCE))
    left = are_alike(*(looks[[pair[side] for pair in near]] for side in (0, 1))).sum() if near else 0
    by_difference = sum(1 for _ in near_pairs(numpy.array(list(map(difference_hash, pictures))), MOST_DISTANCE))
    figures = [f"{len(pictures):,}", f"{len(near):,}", f"{by_difference:,}", f"{left:,}"]
    for share in SHARES_OF_WIDTH:
        copies = stack(look_of(copy_smaller(picture, share)) for picture in pictures)
        close = numpy.bitwise_count(hashes ^ hash_looks(copies)) <= MOST_DISTANCE
        figures.append(f"{(close & are_alike(looks, copies)).mean():.1%}")
    return figures


def open_picture(file: Path) -> Image.Image:
    """Return a file's picture as finesight opens it: upright, in RGB."""
    with Image.open(file) as picture:
        return upright_rgb(picture)


def stack(looks: Iterable[bytes]) -> NDArray[numpy.uint8]:
    """Return looks as uint8[looks, 32, 32, 3]."""
    return numpy.frombuffer(b"".join(looks), numpy.uint8).reshape(-1, LOOK_SIDE_PIXELS, LOOK_SIDE_PIXELS, 3)


def copy_smaller(picture: Image.Image, share: int) -> Image.Image:
    """Return a copy in a `share`th of the width, as JPEG gives it back."""
    stored = io.BytesIO()
    side = (max(1, picture.width // share), max(1, picture.height // share))
    picture.resize(side, Image.Resampling.LANCZOS).save(stored, format="JPEG", quality=QUALITY)
    return Image.open(stored).convert("RGB")


def difference_hash(picture: Image.Image) -> numpy.uint64:
    """Return a picture's dHash: whether each of 8×8 grey pixels is brighter than its neighbour on the left."""
    grey = numpy.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BILINEAR), dtype=int)
    bits = itertools.chain.from_iterable(grey[:, 1:] > grey[:, :-1])
    return numpy.uint64(sum(1 << place for place, bit in enumerate(bits) if bit))


if __name__ == "__main__":
    main()
