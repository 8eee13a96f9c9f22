"""A real server in a process of its own, on a free loopback port, for tests from outside.

Loading the modules takes a process most of a second, and the tests start hundreds. So one loads
them (`tests/loaded.py`), and servers and commands are forked from it.
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

T = TypeVar("T")
# What is to be other than usual in a new process: called there before anything begins.
Change = Callable[[], None]
KEY = "sk_bootstrap_key_of_the_tests"
ROOT = Path(__file__).parent.parent
_loaded = multiprocessing.get_context("forkserver")
_loaded.set_forkserver_preload(["tests.loaded"])


class Server:
    """Starts `reelbase serve` on a folder; may be killed and started again on the same one."""

    def __init__(self, folder: Path, change: Change | None = None, **environment: str) -> None:
        """Further settings by their names in the environment."""
        self.folder = folder
        self.change = change
        self.environment = environment
        self.url = ""
        self.lines: list[str] = []
        self._process: _Forked | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def surroundings(self) -> dict[str, str]:
        """Its environment, with nothing of ours: no provider's key, no proxy."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return environment | {
            "REELBASE_DATA_DIR": str(self.folder),
            "REELBASE_BOOTSTRAP_KEY": KEY,
            "REELBASE_MIN_FREE_BYTES": "0",
            "REELBASE_LOG_FORMAT": "json",
            "PYTHONWARNINGS": "error",
            **self.environment,
        }

    def start(self, port: int = 0) -> "Server":
        """Start and wait until it answers."""
        arguments = ["serve", "--port", str(port)]
        self._process = _Forked(arguments, self.surroundings(), self.change)
        self.url = ""
        threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True).start()
        until(self._answers, timeout=90, what=lambda: f"the server to start: {self.lines[-20:]}")
        return self

    def _read(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self.lines.append(line)
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("event") == "listening":
                        self.url = entry["local"]

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended: {''.join(self.lines[-20:])}")
        if not self.url:
            return False
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", verify=False).status_code == 200
        return False

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def stop(self, timeout: float = 60) -> int:
        """SIGTERM, as a deploy does; the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def client(self, key: str | None = KEY, **options: Any) -> httpx.Client:
        """An HTTP client with an API key (None: with nothing)."""
        headers = {"X-API-Key": key} if key else {}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=60,
            trust_env=False,
            verify=False,
            **options,
        )

    def log(self) -> list[dict[str, Any]]:
        """What the server has logged."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]


class _Forked:
    """Its process; the methods are those of `subprocess.Popen`."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], change: Change | None
    ) -> None:
        read, write = os.pipe()
        self.stderr = os.fdopen(read)
        # Closed with `theirs`: the server has a copy.
        theirs = Connection(write, readable=False)
        self._process = _loaded.Process(target=_run, args=(arguments, environment, change, theirs))
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("serve", timeout)
        return self._process.exitcode


class Command:
    """A command in a process of its own, with hardly anything but these in its environment."""

    def __init__(self, *arguments: str, change: Change | None = None, **environment: str) -> None:
        self._arguments = list(arguments)
        self._files = [tempfile.TemporaryFile() for _ in ("stderr", "stdout")]  # noqa: SIM115
        streams = [Connection(os.dup(one.fileno())) for one in self._files]
        surroundings = {"PATH": os.environ["PATH"], **environment}
        self._process = _loaded.Process(
            target=_run, args=(self._arguments, surroundings, change, *streams)
        )
        self._process.start()
        for stream in streams:
            stream.close()

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.exitcode is not None

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        # Taken up before the caller lets the process go on: else it may do the rest first.
        until(lambda: not _is_pending(self._process.pid, number), what=lambda: "the signal")

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end: its status, what it said and what it complained of."""
        self._process.join(90)
        if not self.ended:
            self._process.kill()
            raise subprocess.TimeoutExpired(self._arguments, 90)
        assert self._process.exitcode is not None
        told = []
        for file in self._files:
            with file:
                file.seek(0)
                told.append(file.read().decode())
        complained, said = told
        status = self._process.exitcode
        return subprocess.CompletedProcess(self._arguments, status, said, complained)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    return Command(*arguments, **environment).wait()


def _run(
    arguments: list[str],
    environment: dict[str, str],
    change: Change | None,
    stderr: Connection,
    stdout: Connection | None = None,
) -> None:
    """In the new process: what `python -m server` does."""
    from server.cli import main

    if change is not None:
        change()

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for number, stream in ((1, stdout), (2, stderr)):
        if stream is not None:
            os.dup2(stream.fileno(), number)
            stream.close()
    warnings.simplefilter("error")  # as PYTHONWARNINGS says
    main(arguments, prog_name="reelbase")


@contextlib.contextmanager
def running(folder: Path, change: Change | None = None, **environment: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(folder, change=change, **environment).start()
    try:
        yield server
    finally:
        server.kill()


# Below those that systems give to outgoing connections, of which the tests have many: a server
# that was killed finds its port free. Each of the processes that run tests begins elsewhere.
_ports = itertools.cycle(random.SystemRandom().sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """A port that is free, for what has to be known before the server starts."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("never")


def _is_pending(pid: int | None, number: int) -> bool:
    """Whether a signal to a process waits to be taken up, where the system says so."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    lines = [line.split() for line in status.splitlines()]
    masks = [int(line[1], 16) for line in lines if line[0] in ("SigPnd:", "ShdPnd:")]
    return any(mask >> (number - 1) & 1 for mask in masks)


def until(
    condition: Callable[[], T],
    *,
    timeout: float = 60,
    every: float = 0.25,
    what: Callable[[], str] = lambda: "the condition",
) -> T:
    """Ask until the answer is truthy, at first often, then each `every` seconds; the answer."""
    deadline = time.monotonic() + timeout
    pause = min(0.01, every)
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what()}")
        time.sleep(pause)
        pause = min(pause * 1.3, every)


def ended(client: httpx.Client, job_id: str, timeout: float = 90) -> dict[str, Any]:
    """A job, once it has ended."""
    last: dict[str, Any] = {}

    def check() -> dict[str, Any] | None:
        nonlocal last
        last = client.get(f"/api/v3/jobs/{job_id}").raise_for_status().json()
        return last if last["status"] in ("completed", "failed", "canceled") else None

    return until(check, timeout=timeout, what=lambda: f"the job to end: {last}")
