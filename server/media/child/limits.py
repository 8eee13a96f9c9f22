"""What the operating system takes from the child before a decoder is loaded."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the parent does not live any more.

    The child is in a session of its own, and while it decodes it does not look at the wire:
    without this a killed server leaves it running. Elsewhere than on Linux the wire's end
    and the CPU limit stop it, later.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def give_way() -> None:
    """Serving comes first: where memory or processors are short, this process loses."""
    os.nice(5)
    if sys.platform.startswith("linux"):
        Path("/proc/self/oom_score_adj").write_text("1000")


def apply(memory: int, cpu: int, file_size: int) -> None:
    """Limit address space (bytes), processor time (seconds) and what may be written (bytes).

    There is no limit on processes: RLIMIT_NPROC counts every thread of the user, the server's
    own too, so an encoder's threads would fail on a busy machine and not on an idle one.
    """
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
