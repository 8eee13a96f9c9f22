"""Temporary faults are waited out, within bounds; only verdicts are final. Hours pass at once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from server.catalog import assets, deliveries, events, jobs
from server.catalog.records import Job
from server.errors import StorageFull
from server.jobs import loop, retry
from server.library import downloads, retries
from server.media import MediaError
from server.providers.base import (
    NotSent,
    Passing,
    Prediction,
    Refused,
    ResultUnavailable,
    Unknown,
    Vanished,
)
from tests.unit.engine.world import MP4, PNG, World, done

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("short")]

TEMPORARY = Prediction(id="p", status="failed", error_code="E004", passing=True)
RUNNING = Prediction(id="p", status="processing", progress=0.5)
BUSY = "FAL answered 503: busy"
KILLED = MediaError("The media process was killed.", code="media_unavailable")
SLOW = MediaError("Working on the file took too long.", code="media_timeout")
BROKEN = MediaError("The file is damaged.")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of ten minutes at most: what the real ones are is looked at in test_retry.py.

    The loop looks for what is due by the clock every ten seconds: hours pass in fewer steps.
    """
    for name, one in list(vars(retry).items()):
        if isinstance(one, retry.Policy):
            short = replace(one, longest=min(one.longest, 60.0), bound=min(one.bound, 600.0))
            monkeypatch.setattr(retry, name, short)
    monkeypatch.setattr(loop, "INTERVAL", 10.0)
    monkeypatch.setattr(loop, "COLLECT_EVERY", 60.0)


def _waited(world: World, since: float) -> float:
    return world.clock.monotonic() - since


def _set(what: str, name: str, value: Any) -> Callable[[World], None]:
    return lambda world: setattr(getattr(world, what), name, value)


# How a generate job with a fault that never ends is given up: the fault, the policy, the code,
# and how many predictions were made.
FOR_EVER: dict[str, tuple[Callable[[World], None], str, str, int]] = {
    "not sent": (
        _set("script", "refusals", [NotSent("429: slow down") for _ in range(5000)]),
        "SUBMIT",
        "provider_busy",
        0,
    ),
    "no look-up": (_set("script", "told", [Passing(BUSY)]), "LOOK_UP", "result_unavailable", 1),
    "no result": (
        _set("script", "told", [ResultUnavailable("FAL answered 500: no")]),
        "RESULT",
        "result_unavailable",
        1,
    ),
}


@pytest.mark.parametrize("name", FOR_EVER)
async def test_a_fault_that_never_ends_is_given_up(world: World, name: str) -> None:
    """In the provider's words, within the bound; and it has said all the time what it waits for."""
    fault, which, code, made = FOR_EVER[name]
    policy = getattr(retry, which)
    fault(world)
    async with world.engine():
        job_id = await world.order("a fox")
        began = world.clock.monotonic()
        await world.until(lambda conn: _job(conn, job_id).waits(_clips(conn, job_id))[0] != [])
        notes, next_try_at = (await world.job(job_id)).waits(await world.clips(job_id))
        assert notes[0].startswith("clip-1.mp4: ")
        assert next_try_at is not None
        assert next_try_at <= world.clock.now() + timedelta(seconds=policy.longest * 1.25)
        job = await world.until_ended(job_id, within=2 * policy.bound)
        assert (job.status, job.error_code) == ("failed", code)
        assert policy.bound <= _waited(world, began) <= policy.bound + 3 * policy.longest
        assert len(world.script.made) == made
        assert job.waits(await world.clips(job_id)) == ([], None)


async def test_a_retry_of_what_was_given_up_pays_nothing(world: World) -> None:
    """The result was paid for: the same prediction is looked up again."""
    world.script.told = [ResultUnavailable("FAL answered 403: no")]
    async with world.engine() as engine:
        job = await world.until_ended(await world.order("a fox"))
        assert "FAL answered 403: no" in (job.error_message or "")
        world.script.told = [done()]
        assert await world.write(retries.retry, job)
        engine.loop.wake(job.id)
        assert (await world.until_ended(job.id)).status == "completed"
        assert len(world.script.made) == 1


async def test_the_bound_goes_on_over_a_restart(world: World) -> None:
    """A server that restarts every ten minutes would ask for ever."""
    world.script.told = [ResultUnavailable("FAL answered 500: no")]
    async with world.engine():
        job_id = await world.order("a fox")
        began = world.clock.monotonic()
        await world.clock.advance(retry.RESULT.bound / 2)
    async with world.engine():
        job = await world.until_ended(job_id)
        assert job.error_code == "result_unavailable"
        assert _waited(world, began) < retry.RESULT.bound + 3 * retry.RESULT.longest


@pytest.mark.parametrize("fault", [ResultUnavailable("FAL answered 500: no"), Passing(BUSY)])
async def test_what_is_waited_for_is_reported_and_taken_back(world: World, fault: Passing) -> None:
    """In the provider's words, not at the first hiccup, in events too, and not when it is over."""
    world.script.told = [fault] * 4 + [done()]
    async with world.engine():
        job_id = await world.order("a fox")
        job = await world.until_ended(job_id)
        assert (job.status, job.waits(await world.clips(job_id))) == ("completed", ([], None))
        said = [
            (one.data["notes"], one.data["next_try_at"] is not None)
            for one in await world.read(events.after, job.user_id, 0, 200) or []
            if one.noun == "job"
        ]
        words = f"clip-1.mp4: waiting for the provider's answer. {fault.detail}"
        assert ([words], True) in said
        assert said[-1] == ([], False)
        assert said.index(([words], True)) > 0


async def test_the_bound_of_a_result_begins_when_it_cannot_be_read(world: World) -> None:
    """A prediction may run for hours before: one error on its result is no end."""
    world.script.told = [RUNNING] * 100 + [ResultUnavailable("FAL answered 500: no"), done()]
    async with world.engine():
        began = world.clock.monotonic()
        job = await world.until_ended(await world.order("a fox"))
        assert job.status == "completed"
        assert _waited(world, began) > retry.RESULT.bound


@pytest.mark.parametrize("seconds", [0.0, 0.001])
async def test_a_provider_that_asks_for_no_wait_is_not_asked_in_a_circle(
    world: World, seconds: float
) -> None:
    """`Retry-After: 0` is the least that it asks for, not the most that we wait."""
    world.script.told = [Passing(BUSY, retry_after=seconds)]
    async with world.engine():
        await world.until_ended(await world.order("a fox"))
        assert world.script.looked_up < 50


async def test_each_attempt_is_waited_for_longer(world: World) -> None:
    """A provider in trouble is not helped by a second request at once."""
    world.script.told = [TEMPORARY]
    world.max_attempts = 4
    async with world.engine():
        began = world.clock.monotonic()
        await world.until_ended(await world.order("a fox"))
        assert _waited(world, began) >= sum(retry.AGAIN.wait(failures) for failures in (1, 2, 3))


async def test_a_full_disk_while_joining_is_waited_out(world: World) -> None:
    """It is no fault of ours, nor of the clips."""
    world.media.troubles = []
    full = [StorageFull("The volume is full.")] * 3

    async def concat(sources: Any, out: Any) -> None:
        if full:
            raise full.pop()
        out.write_bytes(MP4)

    world.media.concat = concat  # type: ignore[method-assign]
    async with world.engine():
        job = await world.until_ended(await world.order("a fox", "a hen", combine=True))
        assert (job.status, job.error_code) == ("completed", None)


async def test_a_last_frame_that_could_not_be_read_is_reported_and_taken_back(
    world: World,
) -> None:
    """The clip goes on, and waits for nothing of that kind."""

    async def last_frame(source: Any) -> bytes:
        world.media.calls.append("last_frame")
        if world.media.calls.count("last_frame") < 4:
            raise KILLED
        return PNG

    world.media.last_frame = last_frame  # type: ignore[method-assign]
    world.script.told = [done(), RUNNING]
    async with world.engine():
        job_id = await world.order("a fox", "a hen", from_previous=True)
        await world.until(lambda conn: _clips(conn, job_id)[1].wait_code == "frame")
        await world.until(lambda conn: _clips(conn, job_id)[1].status == "processing")
        assert (await world.clips(job_id))[1].wait_code is None


async def test_one_hiccup_is_not_reported(world: World) -> None:
    """A note that comes and goes within a second helps nobody."""
    world.script.told = [Passing(BUSY), done()]
    async with world.engine():
        job = await world.until_ended(await world.order("a fox"))
        told = await world.read(events.after, job.user_id, 0, 200) or []
        assert all(not one.data["notes"] for one in told if one.noun == "job")


async def test_a_cancellation_does_not_wait(world: World) -> None:
    """The provider may have asked for an hour: who cancels has not."""
    world.script.told = [Passing(BUSY, retry_after=3600.0)]
    async with world.engine() as engine:
        job_id = await world.order("a fox")
        await world.until(lambda conn: _clips(conn, job_id)[0].wait_code is not None)
        began = world.clock.monotonic()
        await world.write(jobs.change, job_id, cancel_requested=True)
        engine.loop.wake(job_id)
        job = await world.until_ended(job_id)
        assert (job.status, world.script.canceled) == ("canceled", ["p1"])
        assert _waited(world, began) <= 10
        assert job.waits(await world.clips(job_id)) == ([], None)


@pytest.mark.parametrize("allowed", [1, 2, 3])
async def test_only_the_attempts_bound_what_is_paid(world: World, allowed: int) -> None:
    """A temporary failure is asked for anew as often as the operator says, and no more."""
    world.script.told = [TEMPORARY]
    world.max_attempts = allowed
    async with world.engine():
        job = await world.until_ended(await world.order("a fox"))
        assert (job.status, job.error_code) == ("failed", "E004")
        assert len(world.script.made) == allowed


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (_set("script", "refusals", [Refused("no such model")]), "provider_refused"),
        (_set("script", "told", [Vanished("unknown prediction")]), "prediction_vanished"),
        (
            _set("script", "told", [Prediction(id="p", status="failed", error_code="E005")]),
            "E005",
        ),
    ],
)
async def test_a_verdict_is_final_at_once(
    world: World, fault: Callable[[World], None], code: str
) -> None:
    """Asking again would say the same, later or for money."""
    fault(world)
    async with world.engine():
        began = world.clock.monotonic()
        job = await world.until_ended(await world.order("a fox"))
        assert (job.status, job.error_code) == ("failed", code)
        assert _waited(world, began) <= 10


async def test_a_provider_that_cannot_be_asked_about_a_lost_prediction(world: World) -> None:
    """It is asked beyond the grace, for a while; then its owner is told. Nothing is sent again."""
    world.script.answers = [Unknown("cut off")]
    world.script.listing = [Passing(BUSY) for _ in range(5000)]
    async with world.engine():
        began = world.clock.monotonic()
        job = await world.until_ended(await world.order("a fox"))
        assert (job.status, job.error_code) == ("failed", "submission_unknown")
        assert retry.LOST.bound <= _waited(world, began) <= retry.LOST.bound + 300
        assert len(world.script.made) == 1


@pytest.mark.parametrize("fault", [KILLED, SLOW], ids=["killed", "too slow"])
@pytest.mark.parametrize("times", [1, 5])
async def test_a_media_process_that_was_killed_says_nothing_about_a_file(
    world: World, fault: MediaError, times: int
) -> None:
    """One kill for want of memory once marked good files as failed for ever."""
    world.media.troubles = [fault] * times
    async with world.engine():
        job = await world.until_ended(await world.order("a fox"))
        (asset,) = await world.assets(job.id)
        assert asset.processing_state == "done"
        assert world.media.calls == ["inspect"] * (times + 1)


async def test_a_file_that_kills_it_each_time_is_left_alone_at_last(world: World) -> None:
    """Within some hours, in longer and longer steps."""
    world.media.troubles = [KILLED] * 5000
    async with world.engine():
        began = world.clock.monotonic()
        job = await world.until_ended(await world.order("a fox"))
        (asset,) = await world.assets(job.id)
        assert (job.status, asset.processing_state) == ("completed", "failed")
        bound = retry.MEDIA.bound
        assert bound <= _waited(world, began) <= bound + 2 * retry.MEDIA.longest
        assert len(world.media.calls) < 25


async def test_a_damaged_file_is_a_verdict(world: World) -> None:
    """It is looked at once."""
    world.media.troubles = [BROKEN]
    async with world.engine():
        job = await world.until_ended(await world.order("a fox"))
        (asset,) = await world.assets(job.id)
        assert (asset.processing_state, world.media.calls) == ("failed", ["inspect"])


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        ([KILLED] * 4, "completed", None),
        ([BROKEN], "failed", "combine_failed"),
        ([KILLED] * 5000, "failed", "combine_failed"),
    ],
)
async def test_joining_is_tried_again_unless_it_cannot_be(
    world: World, faults: list[MediaError], status: str, code: str | None
) -> None:
    """The clips are paid for; three looks within three seconds once ended a job."""
    async with world.engine():
        job_id = await world.order("a fox", "a hen", combine=True)

        async def concat(*given: Any) -> None:
            world.media.calls.append("concat")
            if faults:
                raise faults.pop(0)
            given[1].write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(16))

        world.media.concat = concat  # type: ignore[method-assign]
        job = await world.until_ended(job_id)
        assert (job.status, job.error_code) == (status, code)
        assert world.media.calls.count("concat") < 25
        assert len(world.script.made) == 2


async def test_an_output_that_cannot_be_stored_is_given_up_after_days(world: World) -> None:
    """It is listed for ever as expired, and may be asked for by hand."""
    world.script.files = {}
    async with world.engine():
        job_id = await world.order("a fox")
        began = world.clock.monotonic()
        await world.until(
            lambda conn: any(one.storage_state == "expired" for one in _assets(conn, job_id)),
            within=retry.DAY,
        )
        assert (await world.job(job_id)).status == "completed"
        assert retry.SAVE.bound <= _waited(world, began) <= retry.SAVE.bound + 300


async def test_a_download_is_tried_for_half_an_hour(world: World) -> None:
    """A site that restarts costs nobody a download; one that is gone ends it."""
    world.answer = lambda request: httpx.Response(503)
    async with world.engine():
        began = world.clock.monotonic()
        job_id = await world.order_download()
        await world.until(lambda conn: _job(conn, job_id).next_try_at is not None)
        job = await world.until_ended(job_id)
        assert job.status == "failed"
        assert job.notes
        assert job.notes[0].startswith("Attempt 1: ")
        bound = retry.DOWNLOAD.bound
        assert bound <= _waited(world, began) <= bound + 2 * retry.DOWNLOAD.longest
        assert (await world.assets(job_id))[0].storage_state == "failed"
        world.answer = World.__dataclass_fields__["answer"].default
        assert await world.write(downloads.again, job, world.clock.now())
        assert (await world.until_ended(job_id)).status == "completed"


async def test_a_message_is_tried_for_a_day(world: World) -> None:
    """Then it is given up; the next job's are sent all the same."""
    world.answer = lambda request: httpx.Response(500)
    async with world.engine():
        began = world.clock.monotonic()
        job_id = await world.order("a fox", webhook_url="https://caller.example/hook")
        await world.until_ended(job_id)
        assert retry.DELIVER.bound <= _waited(world, began) <= 2 * retry.DELIVER.bound
        (sent,) = await world.read(deliveries.of_job, job_id)
        assert (sent.delivered_at, sent.next_at, sent.status) == (None, None, 500)
        assert len(world.posts) == sent.attempts < 25


async def test_what_nobody_foresaw_is_waited_out_too(world: World) -> None:
    """A fault of ours must not end a paid job within a second; nor go round for ever."""
    world.script.told = [RuntimeError("a fault of ours")]
    async with world.engine():
        began = world.clock.monotonic()
        job_id = await world.order("a fox")
        await world.until(lambda conn: _job(conn, job_id).next_try_at is not None)
        assert (await world.job(job_id)).status == "processing"
        job = await world.until_ended(job_id)
        assert (job.status, job.error_code) == ("failed", "internal_error")
        bound = retry.UNFORESEEN.bound
        assert bound <= _waited(world, began) <= bound + 2 * retry.UNFORESEEN.longest
        assert len(world.script.made) == 1
        world.script.told = [done()]
        assert await world.write(retries.retry, job)
        assert (await world.until_ended(job_id)).status == "completed"
        assert len(world.script.made) == 1


def _job(conn: Connection, job_id: str) -> Job:
    job = jobs.get(conn, job_id)
    assert job is not None
    return job


def _clips(conn: Connection, job_id: str) -> list[Any]:
    return jobs.clips_of(conn, [job_id])


def _assets(conn: Connection, job_id: str) -> list[Any]:
    return assets.of_job(conn, [job_id])
