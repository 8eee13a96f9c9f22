"""Which processes still have something to do with a folder."""

import subprocess
import time
from pathlib import Path


def processes(folder: Path) -> list[str]:
    """The command lines that name a path in `folder`, with their ids (Linux and macOS)."""
    if Path("/proc/self/cmdline").exists():
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if str(folder) in line:
                    found.append(f"{entry.name} {line}")
        return found
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid,args"], capture_output=True, text=True, check=True
    )
    return [line for line in listing.stdout.splitlines() if str(folder) in line]


def gone(folder: Path) -> bool:
    """Whether soon no process names the folder: each of them has a minute's work, or more."""
    until = time.monotonic() + 60
    while processes(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
