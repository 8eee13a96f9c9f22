"""What this process has taken up: its leases, and the writes that depend on them."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection

from server.catalog import leases
from server.catalog.leases import Lease, LeaseLost
from server.clock import Clock
from server.db import Database
from server.errors import StorageFull

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

# How long a lease lasts, in seconds; it is renewed three times in that time.
LEASE = 30.0


class Claim:
    """A row that this process has taken up. What it finds out about it is written through here."""

    def __init__(
        self, database: Database, clock: Clock, lease: Lease, user_id: str, deadline: float
    ) -> None:
        """`deadline`: when the lease ends at the earliest, by the monotonic clock."""
        self._db, self._clock = database.about(user_id), clock
        self.lease, self.user_id, self.deadline = lease, user_id, deadline
        # The task that works on it; canceled when the lease is lost.
        self.task: asyncio.Task[None] | None = None

    @property
    def key(self) -> str:
        """The id of the claimed row."""
        return self.lease.key

    def check(self) -> None:
        """Raise LeaseLost if the lease may have expired: before what cannot be undone."""
        if self._clock.monotonic() >= self.deadline:
            raise LeaseLost(f"{self.lease.kind} {self.key}")

    def check_in(self, conn: Connection) -> None:
        """Check in a transaction that the lease holds. Raises LeaseLost."""
        leases.check(conn, self.lease)

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`Database.write` under the lease. Raises LeaseLost."""
        return await self._db.write(self._fenced(fn, *args, **kwargs))

    async def write_pending(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`Database.write_pending` under the lease. Raises LeaseLost."""
        return await self._db.write_pending(self._fenced(fn, *args, **kwargs))

    def _fenced(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[Connection], T]:
        @functools.wraps(fn)
        def run(conn: Connection) -> T:
            self.check_in(conn)
            return fn(conn, *args, **kwargs)

        return run

    async def write_unfenced(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Write without checking the lease: only what is so whoever has the row now.

        It must not be lost: on a full disk it is repeated until there is room.
        """
        while True:
            try:
                return await self._db.write(fn, *args, **kwargs)
            except StorageFull:
                await self._clock.sleep(1.0)


class Claims:
    """Claims, renews and releases for one process; `owner` is its name."""

    def __init__(self, database: Database, clock: Clock, owner: str) -> None:
        self._db, self._clock, self._owner = database, clock, owner
        self._held: dict[int, Claim] = {}
        self._renewed = clock.monotonic()

    async def claim(self, wanted: Sequence[tuple[str, str, str]]) -> list[Claim]:
        """Claim what nobody has, of what is wanted as (kind, key, user)."""
        users = {(kind, key): user for kind, key, user in wanted}
        deadline = self._clock.monotonic() + LEASE
        claimed = await self._db.write_with_reserve(leases.claim, list(users), self._owner, LEASE)
        made = [
            Claim(self._db, self._clock, lease, users[lease.kind, lease.key], deadline)
            for lease in claimed
        ]
        self._held |= {claim.lease.token: claim for claim in made}
        return made

    async def renew(self) -> None:
        """Renew all leases, when it is time; what works on a lost one is canceled."""
        now = self._clock.monotonic()
        if now - self._renewed < LEASE / 3:
            return
        tokens = list(self._held)
        kept = (
            await self._db.write_with_reserve(leases.renew, self._owner, tokens, LEASE)
            if tokens
            else set()
        )
        self._renewed = now
        for token in tokens:
            claim = self._held.get(token)
            if claim is None:
                continue
            if token in kept:
                claim.deadline = now + LEASE
            else:
                log.warning("lease lost", kind=claim.lease.kind, key=claim.key)
                self.forget(claim)
                if claim.task is not None:
                    claim.task.cancel()

    def forget(self, claim: Claim) -> None:
        """Renew a lease no longer: what it is for is taken up again once it has expired."""
        self._held.pop(claim.lease.token, None)

    async def release(self, *claims: Claim) -> None:
        """Give leases back; on a full disk they expire by themselves."""
        for claim in claims:
            self.forget(claim)
        if claims:
            with contextlib.suppress(StorageFull):
                await self._db.write_with_reserve(
                    leases.release, [claim.lease.token for claim in claims]
                )
