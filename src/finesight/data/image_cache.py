"""What is remembered of images between runs: hashes, that they decode, and how they look. One SQLite file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from finesight.cache import cache_folder
from finesight.errors import UserError
from finesight.runtime import follow

_TABLES = (
    """CREATE TABLE IF NOT EXISTS hashes
       (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS decoded (sha256 TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS looks_of_32_pixels (sha256 TEXT PRIMARY KEY, look BLOB NOT NULL)",
)
_KNOWN_HASH = "SELECT sha256 FROM hashes WHERE path = ? AND size = ? AND mtime_ns = ?"
_KNOWN_LOOK = "SELECT look FROM looks_of_32_pixels WHERE sha256 = ?"
_WAIT_SECONDS = 60.0
_FILES_A_WRITE = 500
"""Results are written in short transactions, so that a second process never waits long for the lock."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, without asking the cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each distinct file's bytes, in hexadecimal.

    A file whose absolute path, size and modification time are those of an earlier run is not read again.
    Raises `OSError` when a file cannot be read.
    """
    distinct = list(dict.fromkeys(paths))
    hashes: dict[Path, str] = {}
    with _open_cache() as cache:
        fresh: list[tuple[str, int, int, str]] = []
        for path in follow(distinct, "Looking through the images", len(distinct)):
            key = _key(path)
            known = cache.execute(_KNOWN_HASH, key).fetchone()
            hashes[path] = known[0] if known else hash_file(path)
            if not known:
                fresh.append((*key, hashes[path]))
            if len(fresh) == _FILES_A_WRITE:
                _remember_hashes(cache, fresh)
                fresh.clear()
        _remember_hashes(cache, fresh)
    return hashes


def known_to_decode(content_hashes: Iterable[str]) -> set[str]:
    """Return those of `content_hashes` whose image has been decoded completely before."""
    with _open_cache() as cache:
        return {
            content_hash
            for content_hash in content_hashes
            if cache.execute("SELECT 1 FROM decoded WHERE sha256 = ?", (content_hash,)).fetchone()
        }


def remember_decoded(content_hashes: Iterable[str]) -> None:
    """Note that the images of these hashes decode completely. Failures are never remembered: they are tried again."""
    with _open_cache() as cache, cache:
        cache.executemany("INSERT OR IGNORE INTO decoded VALUES (?)", ((one,) for one in content_hashes))


def known_looks(content_hashes: Iterable[str]) -> dict[str, bytes]:
    """Return the looks that are known of the images of these hashes, in the order of the hashes; 3 kB each."""
    with _open_cache() as cache:
        return {
            content_hash: row[0]
            for content_hash in content_hashes
            if (row := cache.execute(_KNOWN_LOOK, (content_hash,)).fetchone())
        }


def remember_looks(looks: Mapping[str, bytes]) -> None:
    """Note how the images of these hashes look; so they decode completely, too."""
    with _open_cache() as cache, cache:
        cache.executemany("INSERT OR IGNORE INTO looks_of_32_pixels VALUES (?, ?)", looks.items())
        cache.executemany("INSERT OR IGNORE INTO decoded VALUES (?)", ((one,) for one in looks))


def _remember_hashes(cache: sqlite3.Connection, rows: list[tuple[str, int, int, str]]) -> None:
    with cache:
        cache.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", rows)


def _key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


@contextmanager
def _open_cache() -> Iterator[sqlite3.Connection]:
    file = cache_folder("images") / "images.sqlite3"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        cache = sqlite3.connect(file, timeout=_WAIT_SECONDS)
    except (OSError, sqlite3.OperationalError) as error:
        raise UserError(
            f"{file}: the cache cannot be written ({error})",
            hint="set the environment variable FINESIGHT_CACHE to a folder that can be written",
        ) from error
    try:
        with cache:
            for table in _TABLES:
                cache.execute(table)
        yield cache
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{file}: the cache cannot be used ({error})",
            hint="delete this file, or set FINESIGHT_CACHE to another folder; nothing but time is lost",
        ) from error
    finally:
        cache.close()
