"""The run folder's small pictures, as a page that is one file holds them."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path


def data_uri(folder: Path, thumbnail: str) -> str:
    """Return a thumbnail of the run folder as a data URI, or nothing where there is none of that name in the folder."""
    path = (folder / thumbnail).resolve()
    media_type, _ = mimetypes.guess_type(path.name)
    is_picture = media_type in ("image/jpeg", "image/png", "image/webp")
    if not thumbnail or not is_picture or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return ""
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
