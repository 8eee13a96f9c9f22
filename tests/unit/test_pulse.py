"""Who follows changes is woken by changes, and by nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from server.blobs import rows as blob_rows
from server.catalog import access, events, leases, projects
from server.db import Database
from server.http.pulse import Pulse
from tests import rows
from tests.database import new_database
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio


@dataclass
class World:
    """A pulse that beats, and a user."""

    database: Database
    clock: FakeClock
    pulse: Pulse
    stopping: asyncio.Event
    user_id: str

    async def is_woken_by(self, change: Callable[[Connection, str], Any]) -> bool:
        """Whether a commit wakes those who follow."""
        ticket = self.pulse.ticket()
        await self.database.about(self.user_id).write(change, self.user_id)
        await self.clock.advance(0.5)
        return ticket.is_set()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock()
    database = Database(new_database(tmp_path / "reelbase.db"), clock)
    await database.open()
    user_id = await database.write(lambda conn: rows.principal(conn).user_id)
    stopping = asyncio.Event()
    pulse = Pulse(database, stopping, clock)
    beating = asyncio.create_task(pulse.run())
    await clock.settle()
    yield World(database, clock, pulse, stopping, user_id)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await database.close()


def _claim_and_renew(conn: Connection, user_id: str) -> None:
    (lease,) = leases.claim(conn, [("job", "a")], "me", 30.0)
    leases.renew(conn, "me", [lease.token], 30.0)
    leases.release(conn, [lease.token])


CHANGES: dict[str, tuple[Callable[[Connection, str], Any], bool]] = {
    "an event": (
        lambda conn, user: events.project_changed(conn, projects.default_project(conn, user)),
        True,
    ),
    "access": (lambda conn, user: access.bump(conn, user), True),
    "an asset": (lambda conn, user: rows.asset(conn, user), True),
    "leases": (_claim_and_renew, False),
    "bytes on their way": (lambda conn, _: blob_rows.create(conn, "writer", None), False),
    "nothing": (lambda conn, _: None, False),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_only_a_change_wakes(world: World, name: str) -> None:
    """A hundred followers read the database at each beat: leases are renewed all the time."""
    change, wakes = CHANGES[name]
    assert await world.is_woken_by(change) is wakes


async def test_a_shutdown_wakes(world: World) -> None:
    """Streams end then."""
    ticket = world.pulse.ticket()
    world.stopping.set()
    await world.clock.advance(0.5)
    assert ticket.is_set()
