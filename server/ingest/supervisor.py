"""Runs one command in a session of its own and leaves nothing of it behind.

`python -I -S supervisor.py SECONDS FILE_BYTES MEMORY_BYTES FOLDER COMMAND…` (standard library
only; it is a program, not a module). While the command runs, standard input is held open by
whoever started this. When it closes, for any reason, `kill -9` of the owner included, the
command's whole process group is ended and FOLDER is removed. The same at SIGTERM, and, without
the removal, after SECONDS. Exit status: the command's; 124 after SECONDS; 125 when ended early.
"""

import ctypes
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

TIMED_OUT = 124
ENDED = 125
PR_SET_CHILD_SUBREAPER = 36
# Gentle first, so that a program may tidy up, but all of it within a second.
STEPS = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.2), (signal.SIGKILL, 2.0))


def main(argv: list[str]) -> int:
    """Run the command to its end or to one of the limits; returns the exit status."""
    seconds, file_bytes, memory, folder, *command = argv
    # What the command may write per file and hold in memory. Sizes that a server announces are
    # not to be believed, and chunked answers announce none.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
        # Grandchildren that outlive the command become ours to wait for.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: told.append(number))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    deadline = time.monotonic() + float(seconds)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while not exited(child.pid):
        left = deadline - time.monotonic()
        if left <= 0:
            end(child)
            return TIMED_OUT
        readable, _, _ = select.select([0, wake.fileno()], [], [], left)
        if wake.fileno() in readable:
            wake.recv(4096)
        if told or (0 in readable and not os.read(0, 4096)):
            end(child)
            shutil.rmtree(folder, ignore_errors=True)
            return ENDED
    end(child)
    code = child.returncode
    return code if code >= 0 else 128 - code


def exited(pid: int) -> bool:
    """Whether the command has ended; it is not reaped, so that its group's id stays taken."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def end(child: subprocess.Popen[bytes]) -> None:
    """End every process of the group and wait until they are gone."""
    for number, grace in STEPS:
        if exited(child.pid):
            number = signal.SIGKILL  # the leader has gone: what it left behind is in the way
        os.killpg(child.pid, number)
        until = time.monotonic() + grace
        while not exited(child.pid) and time.monotonic() < until:
            time.sleep(0.01)
    child.wait()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
