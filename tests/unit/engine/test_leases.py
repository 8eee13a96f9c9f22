"""Who may write to a claimed row: one engine at a time, whatever the others believe."""

import pytest
from sqlalchemy import Connection

from server.catalog import jobs, leases
from server.catalog.leases import LeaseLost
from server.catalog.tables import lease
from server.library.claims import LEASE
from server.providers.base import Prediction
from tests.unit.engine.world import World, done

pytestmark = pytest.mark.anyio

RUNNING = Prediction(id="p", status="processing", progress=0.5)


async def test_an_engine_that_was_frozen_past_its_lease_can_write_nothing(world: World) -> None:
    """Two engines on one database: the second takes over, and the first finds that out."""
    world.script.told = [RUNNING] * 5 + [done()]
    async with world.engine() as first:
        job_id = await world.order("a fox")
        await world.until(lambda conn: jobs.clips_of(conn, [job_id])[0].progress > 0)
        (held,) = [one for one in first.loop._claims._held.values() if one.lease.kind == "job"]
        first.life.freeze()
        async with world.engine(takes_over=True) as second:
            # As long as the lease lasts nobody takes over.
            await world.clock.advance(LEASE / 2)
            assert not any(one.lease.kind == "job" for one in second.loop._claims._held.values())
            job = await world.until_ended(job_id)
            assert (job.status, len(world.script.made)) == ("completed", 1)
            rows = await world.read(_rows)
            # It wakes, and goes on where it stood.
            first.life.thaw()
            for write in (held.write, held.write_pending):
                with pytest.raises(LeaseLost):
                    await write(jobs.change, job_id, progress=0.1)
            with pytest.raises(LeaseLost):
                held.check()
            await world.clock.advance(3 * LEASE)
            assert await world.read(_rows) == rows
            assert not any(one.lease.kind == "job" for one in first.loop._claims._held.values())
    assert len(world.script.made) == 1


def _rows(conn: Connection) -> list[object]:
    """All that an engine writes, but leases."""
    found: list[object] = []
    for table in ("job", "clip", "asset", "event", "prediction", "output"):
        found += conn.exec_driver_sql(f'SELECT * FROM "{table}"').fetchall()
    return found


async def test_one_statement_renews_everything_and_wakes_nobody(world: World) -> None:
    """Many jobs at once: a commit for each would keep every follower and the disk busy."""
    world.script.told = [RUNNING]
    async with world.engine() as engine:
        for number in range(5):
            await world.order(f"a fox {number}")
        await world.clock.advance(LEASE / 6)
        tokens = {one.lease.token for one in engine.loop._claims._held.values()}
        assert len(tokens) >= 5
        before = await world.read(_expiries)
        events = await world.read(_events)
        await world.clock.advance(LEASE / 2)
        after = await world.read(_expiries)
        kept = before.keys() & after.keys()
        assert len(kept) >= 5
        assert all(after[token] > before[token] for token in kept)
        assert len({after[token] for token in kept}) == 1
        assert await world.read(_events) == events


def _expiries(conn: Connection) -> dict[int, object]:
    query = lease.select().where(lease.c.kind == "job")
    return {row.token: row.expires_at for row in conn.execute(query)}


def _events(conn: Connection) -> int:
    return int(conn.exec_driver_sql("SELECT count(*) FROM event").scalar_one())


async def test_a_graceful_stop_gives_everything_back(world: World) -> None:
    """A deploy must not wait half a minute for its own leases."""
    world.script.told = [RUNNING]
    async with world.engine():
        await world.order("a fox")
        await world.clock.advance(5)
    async with world.engine(takes_over=True) as second:
        assert not await world.read(leases.claimed)
        await world.clock.advance(1)
        assert any(one.lease.kind == "job" for one in second.loop._claims._held.values())


async def test_who_has_the_lock_file_waits_for_nobody(world: World) -> None:
    """After a kill the leases of the dead process are there still."""
    world.script.told = [RUNNING]
    async with world.engine() as first:
        await world.order("a fox")
        await world.clock.advance(5)
        first.life.end()
    async with world.engine() as second:
        await world.clock.advance(1)
        assert any(one.lease.kind == "job" for one in second.loop._claims._held.values())


async def test_a_token_only_grows(world: World) -> None:
    """A lease that was given back and claimed anew is another one, to the same owner too."""
    async with world.engine():
        (one,) = await world.write(leases.claim, [("job", "a")], "me", 10.0)
        assert await world.write(leases.claim, [("job", "a")], "you", 10.0) == []
        await world.write(leases.release, [one.token])
        (two,) = await world.write(leases.claim, [("job", "a")], "me", 10.0)
        assert two.token > one.token
        with pytest.raises(LeaseLost):
            await world.write(leases.check, one)
        await world.write(leases.check, two)
        await world.clock.advance(10)
        with pytest.raises(LeaseLost):
            await world.write(leases.check, two)
        (three,) = await world.write(leases.claim, [("job", "a")], "you", 10.0)
        assert three.token > two.token
        assert await world.write(leases.renew, "me", [two.token], 10.0) == set()
        assert await world.write(leases.renew, "you", [three.token], 10.0) == {three.token}
