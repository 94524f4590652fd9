"""Pictures that are in no file of their own, kept in the cache, so that they are not held in memory."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from finesight.cache import cache_folder
from finesight.data.images import FileImage, hash_bytes, upright_rgb
from finesight.errors import WriteError
from finesight.whole_files import written_whole


def keep_bytes(stored: bytes, name: str) -> FileImage:
    """Return an image file's bytes as an image. They are not decoded. Raises `WriteError` when they cannot be kept."""
    return _keep(stored, hash_bytes(stored), name)


def keep_picture(picture: Image.Image, name: str) -> FileImage:
    """Return a decoded picture as an image, which opens as the same pixels, upright and in RGB.

    Its content hash is that of the pixels: the bytes of a PNG depend on who packs it. Raises `OSError` when the
    picture cannot be decoded or has no RGB, and `WriteError` when it cannot be kept.
    """
    seen = upright_rgb(picture)
    content_hash = hashlib.sha256(f"{seen.width}x{seen.height} ".encode() + seen.tobytes()).hexdigest()
    packed = io.BytesIO()
    seen.save(packed, format="PNG", compress_level=1)
    return _keep(packed.getvalue(), content_hash, name)


def _keep(stored: bytes, content_hash: str, name: str) -> FileImage:
    path = cache_folder("kept_images") / content_hash[:2] / content_hash
    if not path.exists():
        _write(stored, path)
    return FileImage(path, name, content_hash)


def _write(stored: bytes, path: Path) -> None:
    try:
        with written_whole(path) as partial:
            partial.write_bytes(stored)
    except OSError as error:
        raise WriteError(
            f"{path.parent}: a picture cannot be kept here ({error.strerror})",
            hint="set the environment variable FINESIGHT_CACHE to a folder with room",
        ) from error
