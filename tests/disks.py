"""File systems and rights other than usual, for a process that a test starts (`change=…`)."""

import ctypes
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.running import Change

# From <sched.h>, <sys/mount.h> and <linux/capability.h>.
NEW_USERS, NEW_MOUNTS = 0x10000000, 0x00020000
READ_ONLY, REMOUNT, BIND, EVERYTHING_BELOW, PRIVATE = 1, 32, 4096, 16384, 1 << 18
CAPABILITIES = 0x20080522


def small_disk(folder: Path, size: int) -> Change:
    """A file system of `size` MiB at a new folder, as the process sees it."""
    _need_namespaces()
    folder.mkdir()
    return _SmallDisk(folder, size)


def read_only(folder: Path) -> Change:
    """A folder in which nothing can be written, as a volume becomes that has errors."""
    _need_namespaces()
    return _ReadOnly(folder)


def powerless() -> None:
    """Root without its rights to read and write what is others'."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    _check(ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()))


@dataclass(frozen=True)
class _SmallDisk:
    folder: Path
    size: int

    def __call__(self) -> None:
        _unshare()
        _mount("tmpfs", self.folder, "tmpfs", 0, f"size={self.size}m")


@dataclass(frozen=True)
class _ReadOnly:
    folder: Path

    def __call__(self) -> None:
        _unshare()
        _mount(str(self.folder), self.folder, None, BIND)
        _mount(None, self.folder, None, REMOUNT | READ_ONLY | BIND)


def _need_namespaces() -> None:
    tried = ["unshare", "--map-root-user", "--mount", "true"]
    if subprocess.run(tried, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs user namespaces to mount a file system")


def _unshare() -> None:
    """Mounts of one's own, with the rights to make them; needs a process with one thread."""
    user, group = os.getuid(), os.getgid()
    _check(ctypes.CDLL(None, use_errno=True).unshare(NEW_USERS | NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, Path("/"), None, EVERYTHING_BELOW | PRIVATE)


def _mount(
    source: str | None, target: Path, kind: str | None, flags: int, options: str | None = None
) -> None:
    given = [None if one is None else one.encode() for one in (source, str(target), kind)]
    options_ = None if options is None else options.encode()
    _check(ctypes.CDLL(None, use_errno=True).mount(*given, ctypes.c_ulong(flags), options_))


def _check(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
