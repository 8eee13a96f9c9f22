"""Lock files: which processes are alive, as the kernel knows it.

A lock is held by `flock` for the life of its process, however that ends, so what a dead process
left behind can be told from what a living one is still writing.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO

from server.blobs.owner import hand_over


class Locked(Exception):
    """Another process holds the lock."""


class LockFile:
    """A file that at most one process holds at a time. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock or raise Locked at once."""
        made = [one for one in (self.path.parent, self.path) if not one.exists()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+")
        hand_over(*made)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Locked(str(self.path)) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go; the file stays, empty of meaning."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "LockFile":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_alive(path: Path) -> bool:
    """Whether a process holds this lock."""
    if not path.exists():
        return False
    lock = LockFile(path)
    try:
        lock.acquire()
    except Locked:
        return True
    lock.release()
    return False
