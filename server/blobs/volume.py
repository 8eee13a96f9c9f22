"""The space that is left, and a reserve that lets a full disk be cleaned up.

On SQLite deleting needs room in the write-ahead log first: on a full disk nothing could be
deleted. So a file of some MiB lies beside the database, is given up when a commit finds the
disk full, and is made again as soon as there is room.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from server.errors import StorageFull

RESERVE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Space:
    """Bytes of the volume."""

    total: int
    free: int


class Volume:
    """The file system that the data folder is on; `min_free` bytes of it are never filled."""

    def __init__(self, folder: Path, *, min_free: int, reserve: int = RESERVE) -> None:
        self._folder = folder
        self.min_free = min_free
        self._reserve = folder / "reserve"
        self._reserve_size = reserve

    def space(self) -> Space:
        """What there is and what is left, as an unprivileged process may use it."""
        usage = shutil.disk_usage(self._folder)
        return Space(total=usage.total, free=usage.free)

    def has_room(self, size: int = 0) -> bool:
        """Whether `size` more bytes leave enough free.

        What a reserve that was given up has freed is not for them: it is there for deleting.
        """
        owed = 0 if self._reserve.exists() else self._reserve_size
        return self.space().free - size - owed >= self.min_free

    def check(self, size: int = 0) -> None:
        """Raise StorageFull when `size` more bytes do not fit."""
        if not self.has_room(size):
            raise StorageFull(
                "The volume is nearly full: nothing more is taken in until something is deleted "
                "for good (the trash takes room, too) or the volume is extended. What is stored "
                "goes on being served."
            )

    def release(self) -> bool:
        """Give the reserve up; whether there was one to give."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    def keep(self) -> None:
        """Make the reserve (again), if there is room for it beside what must stay free."""
        if self._reserve.exists() or not self.has_room():
            return
        partial = self._reserve.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                # Not truncate(): a sparse file would reserve nothing.
                os.posix_fallocate(file.fileno(), 0, self._reserve_size)
            partial.replace(self._reserve)
        except OSError:
            partial.unlink(missing_ok=True)
