"""Keeps two machines from backing up to one target at a time.

A lock in the data folder keeps one installation's backups apart; this is for its copies: the
machine that a library was restored on, and the old one that is not quite dead. Each puts a file
beside the backups and looks for others. Two that begin at the same time both give way.
"""

import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

from server.clock import Clock
from server.errors import Conflict
from server.library.backup.manifest import RUNNING
from server.library.backup.target import Entry, Target, TargetError

# A claim is renewed so often, and counts for nothing when it was not for so long: in seconds.
RENEW = 300.0
STALE = 3600.0


class Claim:
    """A target, for the length of a block. Raises Conflict when it is another's."""

    def __init__(self, target: Target, backup_id: str, clock: Clock) -> None:
        """`backup_id` is the backup that is to be made."""
        self._target, self._clock = target, clock
        self._name = RUNNING + backup_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Claim":
        self._write()
        try:
            self.check()
        except BaseException:
            self._target.delete(self._name)
            raise
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        # The data folder remembers it: the next backup removes what stays.
        with suppress(TargetError):
            self._target.delete(self._name)

    def check(self) -> None:
        """Raise Conflict when the target is not ours alone (any more)."""
        found = {one.name: one for one in self._target.list(RUNNING)}
        ours = found.pop(self._name, None)
        if ours is None or (others := [one for one in found.values() if _is_fresh(one, ours)]):
            since = f" (begun or last seen {_moment(others[0])})" if ours and others else ""
            raise Conflict(
                f"Another machine is making a backup there{since}. Try again when it has ended, "
                "or, if it is gone for good, in an hour.",
                code="backup_running",
            )

    def _write(self) -> None:
        text = f"{socket.gethostname()} {os.getpid()} {self._clock.now().isoformat()}\n"
        self._target.write(self._name, [text.encode()], len(text.encode()))

    def _keep(self) -> None:
        while not self._stop.wait(RENEW):
            try:
                self._write()
            except TargetError:
                continue  # `check` sees what has come of it


def _is_fresh(one: Entry, ours: Entry) -> bool:
    # Both by the target's clock.
    return one.modified > ours.modified - STALE


def _moment(one: Entry) -> str:
    return f"{datetime.fromtimestamp(one.modified, UTC):%Y-%m-%d %H:%M} UTC"
