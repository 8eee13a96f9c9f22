"""What is other than usual in a process that a test starts, so that nothing depends on chance.

A change is made in the new process, before anything begins there (`Server(change=…)`), so that
what is tested has no part in it: a point at which it stops until it is let go, another time.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.running import Command, until


@dataclass(frozen=True)
class Halt:
    """Stops a long command (an import, a backup) once it has done so many bytes.

    It says how far it is after each piece, on the thread that does the work: there it waits, in
    the middle of whatever the next byte belongs to.
    """

    gate: Path
    size: int

    def __call__(self) -> None:
        """Have the command report to us instead of a terminal."""
        from server.commands import progress

        @contextmanager
        def bar(label: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
            stopped = False

            def report(done: int, total: int) -> None:
                nonlocal stopped
                if done >= self.size and not stopped:
                    stopped = True
                    self.gate.read_bytes()  # a FIFO: until it was opened and closed on our side

            yield report

        progress._bar = bar

    @contextmanager
    def reached(self, command: Command) -> Iterator[None]:
        """The command stands there for the length of a block; then it goes on, if it can."""

        def opened() -> int | None:
            assert not command.ended, command.wait()
            try:
                return os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                return None

        writer = until(opened, timeout=60, what=lambda: f"{self.size} bytes to be done")
        try:
            yield
        finally:
            os.close(writer)


def halt(folder: Path, size: int) -> Halt:
    """A halt of one's own."""
    gate = folder / f"gate-{size}"
    os.mkfifo(gate)
    return Halt(gate, size)


@dataclass(frozen=True)
class Clock:
    """A service's clock that a test puts forward; started again, it is as far ahead."""

    file: Path

    def __call__(self) -> None:
        """Have the service read the time here."""
        from server.clock import SystemClock

        SystemClock.now = lambda _: self.now()

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have what runs in this process read the time here until the test is over."""
        from server.clock import SystemClock

        monkeypatch.setattr(SystemClock, "now", lambda _: self.now())

    def now(self) -> datetime:
        """The time there."""
        ahead = float(self.file.read_text()) if self.file.exists() else 0
        return datetime.now(UTC) + timedelta(seconds=ahead)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        ahead = (self.now() - datetime.now(UTC)).total_seconds()
        new = self.file.with_suffix(".new")
        new.write_text(str(ahead + seconds))
        new.rename(self.file)


@dataclass(frozen=True)
class Dam:
    """Lets no more than so many bytes of each upload (by tus) through while it is shut."""

    file: Path
    size: int

    def __call__(self) -> None:
        """Have the service wait for us."""
        from server.library import uploads

        pieces = uploads.Uploads._pieces

        def dammed(own: Any, claim: Any, seat: Any, row: Any, stream: Any) -> Any:
            return pieces(own, claim, seat, row, self._held(row.offset, stream))

        uploads.Uploads._pieces = dammed

    async def _held(self, done: int, stream: Any) -> AsyncGenerator[bytes, None]:
        async for piece in stream:
            done += len(piece)
            while done > self.size and self.file.exists():
                await asyncio.sleep(0.01)
            yield piece

    def shut(self) -> None:
        """From now on."""
        self.file.touch()

    def open(self) -> None:
        """Let everything through."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Unrendered:
    """Keeps the sample provider from drawing as long as a file is there."""

    file: Path

    def __call__(self) -> None:
        """Have it wait for us."""
        from server.media import Media

        render = Media.render

        async def held(*given: Any, **named: Any) -> None:
            while self.file.exists():
                await asyncio.sleep(0.01)
            await render(*given, **named)

        Media.render = held


@dataclass(frozen=True)
class Uncombined:
    """Keeps clips from being combined, for ever; a file says that it has come so far."""

    file: Path

    def __call__(self) -> None:
        """Have it wait until it is killed."""
        from server.media import Media

        async def held(*given: Any, **named: Any) -> None:
            self.file.touch()
            await asyncio.Event().wait()

        Media.concat = held


def without_polling() -> None:
    """Beside webhooks a prediction is looked up once, and not again: what is told must do."""
    from server.jobs import clips

    clips.POLL_BESIDE_WEBHOOKS = (3600.0, 1.0, 3600.0)


def hasty() -> None:
    """A writer gives up on a locked database at once, not after fifteen seconds."""
    from server import db

    prepare = db._prepare
    db._prepare = lambda *given: prepare(*given, "busy_timeout=100")


def talkative() -> None:
    """Who follows events hears a ping after half a second of silence, not after fifteen."""
    from server.http import events

    events.PING = 0.5


# The event that `looks_are_logged` logs.
LOOKS = "a clip looks whether it is wanted"


def looks_are_logged() -> None:
    """A clip says whenever it looks whether it is still wanted: each second while it waits."""
    import structlog

    from server.jobs.clip_row import ClipRow

    look = ClipRow.look

    async def logged(self: ClipRow) -> Any:
        structlog.get_logger().info(LOOKS, clip=self.id)
        return await look(self)

    ClipRow.look = logged
