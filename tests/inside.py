"""The real server in a thread of this process: on a socket, with its database and its store.

What starts a server does all of it here, too, but for the signals and for migrating an empty
file. What needs a process of its own (its death, its log, its rights, its memory) starts one
(`tests/running.py`).
"""

import contextlib
import functools
import io
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import structlog

from server import logs
from server import running as server_running
from server.serve import prepared
from server.settings import load
from tests.database import new_database
from tests.running import Server, until

_running: set["Inside"] = set()


class _Lines(io.TextIOBase):
    """Hands each line of the log to the server whose thread writes it, else to all."""

    def write(self, text: str) -> int:
        writer = threading.current_thread()
        own = [server for server in _running if server.thread is writer]
        for server in own or list(_running):
            server.lines.append(text)
        return len(text)


@functools.cache
def _keep_logs() -> None:
    """Have what is logged in this process go to the servers' lines, too."""
    root = logging.getLogger()
    before = list(root.handlers)
    logs.configure("json")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(_Lines())
    root.handlers[:] = [*before, handler]
    # A test may yet want to see the entries themselves.
    structlog.configure(cache_logger_on_first_use=False)


class Inside(Server):
    """The same methods as those of a server in a process; a kill is a quick stop."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, **environment)
        self._opened = contextlib.ExitStack()
        self.thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def start(self, port: int = 0) -> "Inside":
        """Start and wait until it answers."""
        assert self.thread is None
        _keep_logs()
        self.folder.mkdir(parents=True, exist_ok=True)
        new_database(self.folder / "reelbase.db")
        before = os.umask(0o077)
        try:
            with mock.patch.dict(os.environ, self.surroundings(), clear=True):
                made = prepared(load(), "127.0.0.1", port)
                self._server, listener = self._opened.enter_context(made)
        finally:
            os.umask(before)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def run() -> None:
            try:
                # It would end the process of the tests.
                with mock.patch.object(server_running, "exit_within"):
                    self._server.run(sockets=[listener])
            except BaseException as error:  # noqa: BLE001  # raised again where the test is
                self._failure = error

        self.thread = threading.Thread(target=run, daemon=True)
        _running.add(self)
        self.thread.start()
        until(self._has_started, every=0.005, what=lambda: "the server to start")
        return self

    def _has_started(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return self._server.started

    def stop(self, timeout: float = 60) -> int:
        """End it in order; 0."""
        if self.thread is not None:
            self._server.should_exit = True
            self.thread.join(timeout)
            assert not self.thread.is_alive()
            self.thread = None
            _running.discard(self)
            self._opened.close()
        if self._failure is not None:
            raise self._failure
        return 0

    def kill(self) -> None:
        """End it without waiting for anybody."""
        self._server.force_exit = True
        self.stop()


@contextlib.contextmanager
def inside(folder: Path, **environment: str) -> Iterator[Inside]:
    """A server in this process for the length of a block."""
    server = Inside(folder, **environment)
    try:
        yield server.start()
    finally:
        server.kill()
