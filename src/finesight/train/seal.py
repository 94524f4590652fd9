"""What a checkpoint holds, file by file: written with it, and compared before it is trusted."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from finesight.whole_files import bring_to_disk

SEAL_FILE = "files.json"
"""Written last: sizes and checksums of all other files. A checkpoint without it is not complete."""
_CHUNK_BYTES = 1 << 24


def seal(folder: Path) -> None:
    """Write `files.json`, and bring every file below `folder` onto the disk itself.

    After a power cut a file system may have kept a rename and not the content of what was renamed; and once a new
    checkpoint is there, old ones are deleted.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL_FILE)
    content = {str(path.relative_to(folder)): _describe(path) for path in files}
    (folder / SEAL_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    folders = [path for path in folder.rglob("*") if path.is_dir()]
    for path in (*files, folder / SEAL_FILE, *folders, folder):
        bring_to_disk(path)


def find_damage(folder: Path, *, below: tuple[str, ...] = ()) -> str:
    """Return what is wrong with a sealed folder, in a few words; nothing where all is as it was written.

    With `below`, only the files in folders of these names are looked at.
    """
    if not (folder / SEAL_FILE).exists():
        return f"{SEAL_FILE} is not there"
    try:
        sealed = json.loads((folder / SEAL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SEAL_FILE} cannot be read"
    for name, written in sealed.items():
        if below and not name.startswith(tuple(f"{folder_name}/" for folder_name in below)):
            continue
        path = folder / name
        if not path.is_file():
            return f"{name} is not there"
        if (size := path.stat().st_size) != written["bytes"]:
            return f"{name} has {size:,} bytes instead of {written['bytes']:,}"
        try:
            if _describe(path) != written:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def _describe(path: Path) -> dict[str, int | str]:
    checksum, size = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
    return {"bytes": size, "crc32": f"{checksum:08x}"}
