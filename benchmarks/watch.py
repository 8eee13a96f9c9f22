"""What the kernel tells: memory of a process, the page cache, the machine."""

import os
import platform
import sqlite3
import threading
import time
from importlib.metadata import version
from pathlib import Path

MIB = 1024 * 1024


def memory(pid: int) -> dict[str, float]:
    """MiB of a process: RssAnon is its own, VmRSS counts mapped files too."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        words[0].rstrip(":"): int(words[1]) / 1024
        for words in lines
        if words[0] in ("VmRSS:", "RssAnon:")
    }


class Peak:
    """The most memory that a process has of its own during a block, in MiB, and how much more
    that is than before it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.before = self.most = 0.0

    @property
    def more(self) -> float:
        return self.most - self.before

    def __enter__(self) -> "Peak":
        self.before = self.most = memory(self._pid)["RssAnon"]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, memory(self._pid)["RssAnon"])


def settle(pid: int, seconds: float = 1.0) -> None:
    """Wait until a process rests: what is measured next is to be what is asked of it next."""
    deadline = time.monotonic() + 60
    last = -1.0
    while time.monotonic() < deadline:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = float(fields[11]) + float(fields[12])
        if 0 <= ticks - last <= 2:
            return
        last = ticks
        time.sleep(seconds)


def forget(*paths: Path) -> None:
    """Have the kernel drop these files from the page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is dirty would stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def machine(folder: Path) -> str:
    """What this runs on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [m for m in mounts if folder.resolve().is_relative_to(m[1])]
    file_system = max(inside, key=lambda m: len(m[1]))[2]
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    packages = ("litestar", "uvicorn", "uvloop", "httptools")
    return (
        f"{os.cpu_count()} cores ({models[0] if models else platform.machine()}), "
        f"{pages / 1024 / MIB:.0f} GiB, {file_system}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f"; load {os.getloadavg()[0]:.1f}"
    )
