"""What may happen to an engine besides a kill: clocks that step, full disks, late answers."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from server.catalog import jobs
from server.errors import StorageFull
from server.jobs import loop, retry
from server.library import lifecycle
from server.library.claims import LEASE
from server.providers.base import (
    Passing,
    Prediction,
    ResultUnavailable,
    Submission,
    Unknown,
)
from tests.unit.engine.world import World, done

pytestmark = pytest.mark.anyio

RUNNING = Prediction(id="p", status="processing", progress=0.5)


def _hold_submissions(world: World) -> asyncio.Event:
    """Submissions are taken, and answered once the event is set."""
    gate, submit = asyncio.Event(), world.script.submit

    async def held(submission: Submission) -> Prediction:
        prediction = await submit(submission)
        await gate.wait()
        return prediction

    world.script.submit = held  # type: ignore[method-assign]
    return gate


async def _submitted(world: World, count: int) -> None:
    """Until the provider has so many requests, no time passing."""
    world.engines[-1].loop.wake()
    while len(world.script.made) < count:
        await asyncio.sleep(0.001)


async def test_a_clock_that_steps_starts_nothing_twice(world: World) -> None:
    """A machine that was suspended finds its own leases expired: its tasks run still."""
    gate = _hold_submissions(world)
    async with world.engine() as engine:
        job_id = await world.order("a fox")
        await _submitted(world, 1)
        now = world.clock.now
        world.clock.now = lambda: now() + timedelta(hours=1)  # type: ignore[method-assign]
        for _ in range(3):
            engine.loop.wake()
            await world.clock.settle()
        assert len(world.script.made) == 1
        gate.set()
        job = await world.until_ended(job_id)
        assert (job.status, len(world.script.made)) == ("completed", 1)


async def test_a_prediction_that_turns_up_late_is_followed(world: World) -> None:
    """By webhook, after its clip was given up, while another clip of the job still runs."""
    world.script.lists_reliably = False
    world.script.answers = [Unknown("cut off"), None]
    world.script.told = [RUNNING]
    async with world.engine() as engine:
        job_id = await world.order("a fox", "a hen")
        await world.until(
            lambda conn: any(one.status == "failed" for one in jobs.clips_of(conn, [job_id]))
        )
        # Either clip may have been the first to ask.
        lost, other = sorted(await world.clips(job_id), key=lambda one: one.status != "failed")
        assert (lost.error_code, other.status) == ("submission_unknown", "processing")
        adopted = await world.write(
            lifecycle.adopt_lost_prediction,
            "replicate",
            "p1",
            {},
            lost.nonce,
            world.clock.now(),
        )
        assert adopted is not None
        engine.loop.wake(job_id)
        world.script.told = [done()]
        job = await world.until_ended(job_id)
        assert (job.status, len(world.script.made)) == ("completed", 2)
        assert [clip.status for clip in await world.clips(job_id)] == ["completed"] * 2


async def test_a_late_answer_sets_a_job_going_that_was_given_up(world: World) -> None:
    """The engine that had asked was frozen meanwhile; what it was answered is paid."""
    world.script.lists_reliably = False
    gate = _hold_submissions(world)
    async with world.engine() as first:
        job_id = await world.order("a fox")
        await _submitted(world, 1)
        first.life.freeze()
        async with world.engine(takes_over=True):
            job = await world.until_ended(job_id)
            assert job.error_code == "submission_unknown"
            first.life.thaw()
            gate.set()
            job = await _completed(world, job_id)
            assert (job.status, len(world.script.made)) == ("completed", 1)


async def _completed(world: World, job_id: str) -> Any:
    await world.until(lambda conn: _status(conn, job_id) == "completed")
    return await world.job(job_id)


def _status(conn: Connection, job_id: str) -> str:
    job = jobs.get(conn, job_id)
    assert job is not None
    return job.status


async def test_a_full_disk_loses_no_answer(world: World) -> None:
    """For longer than the lease: the id of a paid prediction is in memory, and stays there."""
    gate = _hold_submissions(world)
    async with world.engine() as engine:
        job_id = await world.order("a fox", "a hen")
        await _submitted(world, 2)
        full = True
        kind: Any = type(engine.database)
        write = kind._write

        async def filled(*given: Any, **named: Any) -> Any:
            if full:
                raise StorageFull("The volume is full.")
            return await write(*given, **named)

        # `about` hands copies out: the class has it for all of them.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "_write", filled)
            gate.set()
            await world.clock.advance(3 * LEASE)
            full = False
            job = await world.until_ended(job_id)
        assert (job.status, job.error_code) == ("completed", None)
        assert len(world.script.made) == 2


async def test_a_cancellation_that_cannot_be_carried_out_is_no_circle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the lease's end each time, and ends as what it was to be."""
    tries = 0

    async def cancel(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(loop, "INTERVAL", 10.0)
    world.script.told = [RUNNING]
    world.script.cancel = cancel  # type: ignore[method-assign]
    async with world.engine() as engine:
        job_id = await world.order("a fox")
        await world.until(lambda conn: jobs.clips_of(conn, [job_id])[0].status == "processing")
        await world.write(jobs.change, job_id, cancel_requested=True)
        engine.loop.wake(job_id)
        began = world.clock.monotonic()
        job = await world.until_ended(job_id)
        assert job.status == "canceled"
        assert tries < 30
        assert world.clock.monotonic() - began > LEASE


async def test_alternating_faults_are_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own bound, whatever comes in between."""
    monkeypatch.setattr(loop, "INTERVAL", 10.0)
    turns = [Passing("FAL answered 503: busy"), ResultUnavailable("FAL answered 500: no")]
    world.script.told = [turns[number % 2] for number in range(4000)]
    async with world.engine():
        began = world.clock.monotonic()
        job = await world.until_ended(await world.order("a fox"))
        assert job.error_code == "result_unavailable"
        assert world.clock.monotonic() - began < 2 * retry.RESULT.bound


async def test_a_retry_of_a_job_that_lacks_bytes_ends_once(world: World) -> None:
    """Bytes that expire do not open an ended job again."""
    world.script.files = {}
    async with world.engine():
        job_id = await world.order("a fox", "a hen", combine=True)
        await world.until(lambda conn: _status(conn, job_id) == "storing", within=600)
        for asset in await world.assets(job_id):
            await world.write(lifecycle.expire_bytes, asset.id)
        job = await world.until_ended(job_id)
        assert job.error_code == "combine_unstored"
        for asset in await world.assets(job_id):
            await world.write(lifecycle.expire_bytes, asset.id)
        assert await world.job(job_id) == job
