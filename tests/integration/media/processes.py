"""Which child processes there are: to show that none is left, and what they were given."""

import os
import time
from contextlib import suppress
from pathlib import Path


def children(parent: int | None = None) -> set[int]:
    """Process ids of a process's children (our own by default), zombies too."""
    parent = parent or os.getpid()
    found = set()
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # that thread has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_gone(pid: int, patience: float = 60.0) -> bool:
    """Whether a process ends within some seconds."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False
