"""One run, one process: a lock in the run folder that ends with its holder, however that ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from finesight.errors import UserError
from finesight.runtime import say

LOCK_FILE = "run.lock"
_TRIES = 4
_PAUSE_SECONDS = 0.05
"""A reader that looks whether the lock is held holds it for a moment."""
_WAIT = "wait for it or stop it, or give another --output"
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system says that knows no locks, as Lustre mounted without `flock`."""


@dataclass(frozen=True)
class Holder:
    """The process that is at a run."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def is_gone(self) -> bool:
        """Return whether the process has surely ended. Of one on another machine nothing can be said."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # somebody else's, but there
            return False
        return False


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Keep every other process from `folder` while the block lasts; a folder that was not there and stays empty goes.

    The lock is the system's (POSIX, `fcntl`), on a file that says who holds it: it ends with its process, and holds
    between machines wherever their common file system has locks. Where that has none, the file's content decides.
    Raises `UserError` when another process holds it.
    """
    with _there(folder), _take(folder / LOCK_FILE):
        try:
            yield
        finally:
            # While it is still held: whoever opened this very file meanwhile finds that it is not the folder's now.
            (folder / LOCK_FILE).unlink(missing_ok=True)


@contextmanager
def _there(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again, and what was made above it, where it has stayed empty."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # what holds something stays
            for empty in made:
                empty.rmdir()


def require_unheld(folder: Path) -> None:
    """Raise `UserError` where another process is at the run in `folder`; nothing is taken, and nothing changed."""
    if holder := who_holds(folder):
        raise _refusal(folder, holder, _WAIT)


def who_holds(folder: Path) -> Holder | None:
    """Return the process that is at the run in `folder`; None where there is none, or it was killed."""
    try:
        with (folder / LOCK_FILE).open(encoding="utf-8") as file:
            holder = _read(file)
            if holder is None or holder.is_gone() or _can_be_had(file):
                return None
            return holder
    except FileNotFoundError:
        return None


def _can_be_had(file: TextIO) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take(path: Path) -> TextIO:
    """Return the lock's file, open and locked, with this process as its holder."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            _lock(file)
        except BaseException:
            file.close()
            raise
        if _is_still(path, file):
            break
        file.close()  # its holder has ended meanwhile, and taken the file with it
    if left := _read(file):
        say(f"{path.parent}: taking over from {left}, which has ended")
    file.truncate(0)
    json.dump(asdict(Holder(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S %z"))), file)
    file.flush()
    return file


def _lock(file: TextIO) -> None:
    for remaining in reversed(range(_TRIES)):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            if not remaining:
                raise _refusal(Path(file.name).parent, _read(file), _WAIT) from error
            time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            if (holder := _read(file)) and not holder.is_gone():
                hint = f"wait for it or stop it; if it has ended, delete {file.name}: this file system has no locks"
                raise _refusal(Path(file.name).parent, holder, hint) from error
            return
        else:
            return


def _refusal(folder: Path, holder: Holder | None, hint: str) -> UserError:
    return UserError(f"{folder}: another process is at this run ({holder or 'unknown'})", hint=hint)


def _is_still(path: Path, file: TextIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _read(file: TextIO) -> Holder | None:
    """Return the holder that the file names; None where it is empty, or written just now."""
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (json.JSONDecodeError, TypeError):
        return None
