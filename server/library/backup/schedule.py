"""The backups that a server makes by itself: at intervals, each in a process of its own.

A process, because copying must not take the event loop's time, and because one that hangs on a
network can be ended. It gives way to the server, and ends with it.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from server.clock import Clock
from server.library.backup import state

# After a failure it is tried again so soon, in seconds, or at the next turn if that is sooner.
AGAIN = 600.0
# How long a process may take to end, in seconds.
GRACE = 3.0

log = structlog.get_logger(__name__)


class Schedule:
    """A backup whenever the last one to its target is `every` seconds old."""

    def __init__(
        self, data_dir: Path, target: str, clock: Clock, *, every: float, rate: float
    ) -> None:
        """`rate` in MB/s bounds what is read from the volume."""
        self._data_dir = data_dir
        self._target = target
        self._clock = clock
        self._every = every
        # The settings that are in the environment go along with it.
        self._command = (
            *(sys.executable, "-m", "server", "backup", target, "--data-dir", str(data_dir)),
            *("--rate", str(rate), "--json", "--beside"),
        )

    async def run(self) -> None:
        """Until cancelled; a backup that is being made then is ended."""
        while True:
            try:
                # By the clock, so that a restart neither delays nor repeats it.
                last = await asyncio.to_thread(state.last_made, self._data_dir, self._target)
                now = self._clock.now().timestamp()
                await self._clock.sleep(max(0.0, min(last + self._every - now, self._every)))
                good = await self._back_up()
            except Exception as error:  # noqa: BLE001
                # Whatever it is: without the next turns nobody would have backups any more.
                log.error("backup failed", status=None, reason=str(error) or repr(error))
                good = False
            if not good:
                await self._clock.sleep(min(AGAIN, self._every))

    async def _back_up(self) -> bool:
        began = self._clock.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            # Not communicate(): it would close standard input, which says that we live.
            said, words = await asyncio.gather(process.stdout.read(), process.stderr.read())
            status = await process.wait()
        finally:
            await _end(process)
        reason = words.decode(errors="replace").strip().rpartition("\n")[2]
        told = {}
        with suppress(ValueError):
            told = json.loads(said)
        if not told:
            log.error("backup failed", status=status, reason=reason.removeprefix("Error: "))
            return False
        log.info(
            "backup made",
            status=status,
            backup=told["id"],
            copied=told["copied"],
            copied_bytes=told["copied_bytes"],
            blobs=told["blobs"],
            seconds=round(self._clock.monotonic() - began, 1),
        )
        for loss in told["damaged"]:
            log.error(
                "damaged, and not in the backup",
                sha256=loss["sha256"],
                assets=[one["id"] for one in loss["assets"]],
                reason=loss["reason"],
            )
        for note in told["notes"]:
            log.warning("note on the backup", backup=told["id"], note=note)
        return True


def last_success(data_dir: Path, target: str | None) -> float:
    """When the last backup there that lacks nothing was made; 0 for never, or not known."""
    try:
        return state.last_success(data_dir, target) if target else 0.0
    except OSError:
        # What keeps it from being read is told by the backup that fails.
        return 0.0


async def _end(process: asyncio.subprocess.Process) -> None:
    """See to it that a process has ended."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()
