"""The supervisor, with programs that do not want to end."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.ingest.ytdlp import SUPERVISOR
from tests.integration.ingest.processes import gone, processes

# It ignores the gentle signals, has a child that does too, and names the folder.
STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
if sys.argv[1] == "parent":
    subprocess.Popen([sys.executable, "-c", sys.argv[2], "child", sys.argv[2], sys.argv[3]])
print("up", flush=True)
time.sleep(600 if sys.argv[4:] != ["leave"] else 0)
"""


Supervised = subprocess.Popen[bytes]


def start(folder: Path, *command: str, seconds: float = 30, size: int = 10**6) -> Supervised:
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(SUPERVISOR), str(seconds), str(size)),
            *(str(2**31), str(folder), *command),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    (path / "file").write_text("x")
    return path


@pytest.mark.parametrize("how", ["stdin closes", "SIGTERM", "SIGINT"])
def test_the_whole_group_ends(folder: Path, how: str) -> None:
    """By force if it must be: what it does would take minutes."""
    with start(folder, *python(STUBBORN, "parent", STUBBORN, str(folder))) as supervised:
        assert supervised.stdin is not None
        assert supervised.stdout is not None
        assert supervised.stdout.readline() == b"up\n"
        assert supervised.stdout.readline() == b"up\n"
        if how == "stdin closes":
            supervised.stdin.close()
        else:
            supervised.send_signal(15 if how == "SIGTERM" else 2)
        assert supervised.wait(60) == 125
    assert gone(folder), processes(folder)
    assert not folder.exists()


def test_the_wall_clock(folder: Path) -> None:
    command = python(STUBBORN, "parent", STUBBORN, str(folder))
    with start(folder, *command, seconds=0.5) as supervised:
        assert supervised.wait(60) == 124
    assert gone(folder), processes(folder)
    assert folder.exists()  # for a look at what there was


def test_what_a_command_leaves_running_is_ended_with_it(folder: Path) -> None:
    command = python(STUBBORN, "parent", STUBBORN, str(folder), "leave")
    with start(folder, *command) as supervised:
        assert supervised.wait(60) == 0
    assert gone(folder)


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(7)", 7), (None, 137)])
def test_the_exit_status_is_the_commands(folder: Path, code: str | None, status: int) -> None:
    code = code or "import os; os.kill(os.getpid(), 9)"
    with start(folder, *python(code)) as supervised:
        assert supervised.wait(60) == status


def test_no_file_grows_beyond_the_limit(folder: Path) -> None:
    code = "import sys; open(sys.argv[1], 'wb').write(bytes(3_000_000))"
    with start(folder, *python(code, str(folder / "big"))) as supervised:
        assert supervised.stdout is not None
        assert b"File too large" in supervised.stdout.read()
    assert (folder / "big").stat().st_size <= 10**6
