"""Images: upright RGB whatever is stored, hashes that are remembered, faults that are all named."""

from __future__ import annotations

import io
import os
import pickle
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy
import pytest
from data_files import picture_bytes, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from finesight.data import image_cache
from finesight.data.image_cache import hash_files
from finesight.data.images import FileImage, decode, verify_images, write_thumbnail
from finesight.errors import DataError, UserError


def stored(image: Image.Image, file_format: str, **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_image_stands_upright_by_its_exif_note(file_format: str) -> None:
    lying = Image.new("RGB", (8, 4), "white")
    lying.paste("black", (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright = decode(stored(lying, file_format, exif=exif))
    assert upright.size == (4, 8)
    # JPEG and WebP keep colours nearly.
    assert max(upright.getpixel((2, 0))) < 10
    assert min(upright.getpixel((2, 7))) > 245


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "1", "P", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("RGB", (4, 4), "white").convert(mode)
    opened = decode(stored(image, "TIFF"))
    assert opened.mode == "RGB"
    assert opened.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)
    assert decode(stored(image, "PNG")).getpixel((1, 1)) == (255, 255, 255)


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(stored(image, "PNG", transparency=0)).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bit_greyscale_keeps_its_shades() -> None:
    image = Image.fromarray(numpy.array([[0, 16_384, 32_768, 65_535]], dtype=numpy.uint16))
    opened = decode(stored(image, "PNG"))
    assert [opened.getpixel((x, 0))[0] for x in range(4)] == [0, 64, 128, 255]


def test_a_transparent_shade_of_sixteen_bit_greyscale_is_white() -> None:
    image = Image.fromarray(numpy.array([[0, 16_384, 32_768, 65_535]], dtype=numpy.uint16))
    opened = decode(stored(image, "PNG", transparency=16_384))
    assert [opened.getpixel((x, 0))[0] for x in range(4)] == [0, 255, 128, 255]


# What Pillow thinks of a damaged file it says in a warning, before it gives up or goes on.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("damage", ["text", "cut", "empty", "header"])
def test_damage_is_an_os_error(damage: str, file_format: str) -> None:
    noise = Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=numpy.uint8))
    whole = stored(noise, file_format).getvalue()
    broken = {"text": b"not an image", "cut": whole[:3000], "empty": b"", "header": whole[:20] + b"\xff" * 40}[damage]
    with pytest.raises(OSError):
        decode(io.BytesIO(broken))


WHOLE = [
    stored(Image.radial_gradient("L").resize((24, 24)).convert(mode), file_format).getvalue()
    for mode, file_format in (("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "GIF"), ("L", "TIFF"), ("RGB", "WEBP"))
]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_changed_bytes_are_a_picture_or_an_os_error(whole: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(whole)
    for place, value in changes:
        changed[place % len(changed)] = value
    try:
        assert decode(io.BytesIO(changed)).mode == "RGB"
    except OSError as error:
        assert str(error)


def test_equal_files_have_equal_hashes_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(picture_bytes(3))
    one, other = (FileImage(tmp_path / folder / "x.png", "x.png") for folder in ("a", "b"))
    assert one.content_hash() == other.content_hash()


def test_a_known_file_is_not_read_again_and_a_changed_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, 3)
    files = sorted(tmp_path.rglob("*.png"))
    before = hash_files(files)
    read: list[Path] = []
    really = image_cache.hash_file

    def counted(path: Path) -> str:
        read.append(path)
        return really(path)

    monkeypatch.setattr(image_cache, "hash_file", counted)
    assert hash_files(files) == before
    assert read == []
    files[0].write_bytes(picture_bytes(200))
    os.utime(files[0], ns=(1, 1))
    after = hash_files(files)
    assert read == [files[0]]
    assert after[files[0]] != before[files[0]]


def test_two_processes_share_the_cache(tmp_path: Path) -> None:
    write_pictures(tmp_path, 40)
    files = sorted(tmp_path.rglob("*.png"))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        one, other = processes.map(hash_files, [files, files[::-1]])
    assert one == other == hash_files(files)


def test_a_broken_cache_is_named_with_the_remedy(own_cache: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (own_cache / "images").mkdir()
    (own_cache / "images" / "images.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"images\.sqlite3") as caught:
        hash_files(tmp_path.rglob("*.png"))
    assert "delete this file" in caught.value.hint


def test_all_missing_and_damaged_images_are_named_at_once(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3, folder=".")
    (tmp_path / "1.png").write_bytes(picture_bytes(1)[:-30])
    (tmp_path / "text.png").write_text("hello")
    images = [FileImage(tmp_path / name, name) for name in ("0.png", "1.png", "gone.png", "text.png", "2.png")]
    with pytest.raises(DataError) as caught:
        verify_images(images)
    assert caught.value.message.startswith("3 images cannot be used:")
    assert "gone.png: missing" in caught.value.message
    assert "text.png: not an image" in caught.value.message
    assert "  1.png: " in caught.value.message
    assert "2.png" not in caught.value.message


def test_many_faults_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="25 images cannot be used") as caught:
        verify_images(FileImage(tmp_path / f"{number}.png", f"{number}.png") for number in range(25))
    assert caught.value.message.endswith("and 15 more")


def test_what_decoded_once_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, 2, folder=".")
    images = [FileImage(tmp_path / f"{number}.png", f"{number}.png") for number in range(2)]
    verify_images(images)
    opened: list[str] = []
    monkeypatch.setattr(FileImage, "open", lambda image: opened.append(image.name))
    verify_images(images)
    assert opened == []


def test_a_thumbnail_is_small_shared_and_written_once(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300), "red").save(tmp_path / "large.png")
    image = FileImage(tmp_path / "large.png", "large.png")
    thumbs = tmp_path / "thumbs"
    name = write_thumbnail(image, thumbs)
    with Image.open(thumbs / name) as small:
        assert small.size == (224, 75)
    written = (thumbs / name).stat().st_mtime_ns
    (tmp_path / "copy.png").write_bytes((tmp_path / "large.png").read_bytes())
    assert write_thumbnail(FileImage(tmp_path / "copy.png", "copy.png"), thumbs) == name
    assert (thumbs / name).stat().st_mtime_ns == written
    assert [path.name for path in thumbs.iterdir()] == [name]


def test_an_image_can_be_sent_to_another_process(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1, folder=".")
    image = FileImage(tmp_path / "0.png", "0.png")
    assert pickle.loads(pickle.dumps(image)).open().size == (6, 4)


def test_the_cache_is_one_file_a_person_can_read(own_cache: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    hash_files(tmp_path.rglob("*.png"))
    with sqlite3.connect(own_cache / "images" / "images.sqlite3") as cache:
        (count,) = cache.execute("SELECT count(*) FROM hashes").fetchone()
    cache.close()
    assert count == 2
