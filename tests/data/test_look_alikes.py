"""Look-alikes: a picture saved anew is found, other pictures are not, and nothing is decoded twice."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from data_files import write_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from finesight.data.images import FileImage, find_unusable
from finesight.data.look_alikes import MOST_DISTANCE, are_alike, find_look_alikes, hash_looks, look_of
from finesight.data.near_hashes import near_pairs
from finesight.data.scenes.draw import SceneImage
from finesight.data.standins.pictures import draw_picture


@pytest.fixture
def photographs(shared: Path) -> list[Path]:
    """Return 40 real photographs."""
    return sorted((shared / "data" / "captions_coco").rglob("*.jpg"))[:40]


def files(*paths: Path) -> list[FileImage]:
    return [FileImage(path, path.name) for path in paths]


def halved(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2))


@pytest.mark.parametrize(
    ("change", "name", "quality"),
    [
        (lambda picture: picture, "again.jpg", 60),
        (halved, "half.jpg", 60),
        (halved, "half.png", None),
        (lambda picture: picture.resize((224, 224)), "square.webp", 80),
    ],
    ids=["re-encoded", "halved and re-encoded", "halved, as PNG", "squared, as WebP"],
)
def test_copies_of_photographs_are_found_and_nothing_else(
    photographs: list[Path],
    tmp_path: Path,
    change: Callable[[Image.Image], Image.Image],
    name: str,
    quality: int | None,
) -> None:
    copies = {}
    for number, file in enumerate(photographs[:5]):
        copies[file] = tmp_path / f"{number}-{name}"
        with Image.open(file) as photograph:
            change(photograph.convert("RGB")).save(copies[file], **({"quality": quality} if quality else {}))
    images = {path: image for path in (*photographs, *copies.values()) for image in files(path)}
    alike = find_look_alikes(images.values())
    for original, copy in copies.items():
        here, there = images[original].content_hash(), images[copy].content_hash()
        assert alike.families[here] == alike.families[there]
        assert alike.distance(here, there) <= MOST_DISTANCE
    assert len(set(alike.families.values())) == 5
    assert len(alike.families) == 10


def test_no_two_x_rays_of_vqa_rad_look_alike(vqa_rad: Path) -> None:
    images = files(*sorted((vqa_rad / "data_RAD" / "images").glob("*.jpg"))[:120])
    assert len(images) == 120
    assert find_look_alikes(images).families == {}


def test_puzzles_that_differ_in_a_detail_are_different(shared: Path) -> None:
    puzzles = sorted((shared / "data" / "mcq_puzzlevqa").rglob("venn_*.png"))
    assert len(puzzles) == 20
    distinct = {image.content_hash(): image for image in files(*puzzles)}
    assert find_look_alikes(distinct.values()).families == {}


def test_flat_pictures_and_stand_ins_are_different(tmp_path: Path) -> None:
    write_pictures(tmp_path, 50)
    for number in range(300):
        (tmp_path / f"stand-in-{number}.png").write_bytes(draw_picture(number))
    images = files(*tmp_path.rglob("*.png"))
    assert len(images) == 350
    assert find_look_alikes(images).families == {}


def test_pictures_that_look_exactly_alike_are_one_family(tmp_path: Path) -> None:
    for number in range(20):
        picture = Image.effect_mandelbrot((64, 48), (-2.0, -1.0, 1.0, 1.0), 50).convert("RGB")
        picture.save(tmp_path / f"{number}.png", compress_level=number % 10, dpi=(number + 1, 1))
    alike = find_look_alikes(files(*tmp_path.glob("*.png")))
    assert len(alike.families) == 20
    assert len(set(alike.families.values())) == 1


def test_what_is_drawn_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SceneImage, "open", lambda image: pytest.fail("a scene was drawn"))
    assert find_look_alikes([SceneImage(1, 32), SceneImage(1, 64)]).hashes == {}


def test_a_picture_is_decoded_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, 4)
    images = files(*(tmp_path / "pictures").iterdir())
    first = find_look_alikes(images)
    monkeypatch.setattr(FileImage, "open", lambda image: pytest.fail(f"{image.name} was opened again"))
    assert find_look_alikes(images) == first
    assert find_unusable(images) == []


def test_a_damaged_picture_looks_like_none_and_is_still_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    (tmp_path / "pictures" / "0.png").write_bytes(b"no picture")
    images = files(*sorted((tmp_path / "pictures").iterdir()))
    assert len(find_look_alikes(images).hashes) == 1
    assert find_unusable(images) == [("0.png", "not an image")]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.lists(st.sets(st.integers(0, 63), max_size=8), max_size=30))
def test_near_hashes_are_exactly_those_that_differ_in_few_bits(made: list[int], flips: list[set[int]]) -> None:
    near = [number ^ sum(1 << bit for bit in bits) for number, bits in zip(made, flips, strict=False)]
    hashes = made + near
    expected = [
        (one, other)
        for one in range(len(hashes))
        for other in range(one + 1, len(hashes))
        if (hashes[one] ^ hashes[other]).bit_count() <= MOST_DISTANCE
    ]
    assert sorted(near_pairs(numpy.array(hashes, dtype=numpy.uint64), MOST_DISTANCE)) == expected


def test_a_look_is_of_the_whole_picture_whatever_its_mode() -> None:
    wide = Image.linear_gradient("L").resize((300, 20))
    looks = numpy.frombuffer(look_of(wide) + look_of(wide.convert("RGB")), numpy.uint8).reshape(2, 32, 32, 3)
    assert are_alike(looks[:1], looks[1:]).all()
    assert len(set(hash_looks(looks))) == 1
    stored = io.BytesIO()
    wide.save(stored, "PNG")
    assert look_of(Image.open(stored)) == look_of(wide)
