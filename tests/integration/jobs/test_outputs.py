"""What a prediction made: every file is kept, once, whatever happens in between."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from server.catalog import assets, jobs, outputs
from server.catalog.tables import output
from server.jobs import generate
from server.library import removal, retries
from server.providers.base import Output, Prediction, Vanished
from tests import samples
from tests.integration.jobs.engine import Engine, Scripted, engine, made

pytestmark = pytest.mark.anyio

PNG = samples.image("PNG")
MP4 = samples.video(frames=4)
TEXT = b"just some words, no medium"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine on a fresh folder."""
    async with engine(tmp_path) as opened:
        yield opened


def inline(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(number: int) -> bytes:
    """Pictures that differ, as their blobs would else be one."""
    return PNG + bytes([number])


async def test_every_file_is_kept_in_the_providers_order(one: Engine) -> None:
    """Four images of one prediction were one image: three paid files vanished."""
    one.provider.files = {f"{n}.png": png(n) for n in range(4)}
    one.provider.told = made(*(f"script:{n}.png" for n in range(4)))
    job_id = await one.order()
    assert (await one.run(job_id)).status == "completed"
    kept = await one.assets(job_id)
    assert [await one.content(row) for row in kept] == [png(n) for n in range(4)]
    assert {(row.role, row.storage_state, row.kind) for row in kept} == {
        ("clip", "stored", "image")
    }
    assert [row.filename for row in kept] == ["a fox 0.png", *(f"a fox 0-{n}.png" for n in "234")]
    clip = await one.clip(job_id)
    assert clip.asset_id == kept[0].id
    assert (clip.bytes_stored, clip.status) == (sum(len(png(n)) for n in range(4)), "completed")
    # Lists are newest first: there, too, the first file stands first.
    assert [row.created_at for row in kept] == sorted((r.created_at for r in kept), reverse=True)
    assert one.provider.submitted == 1


@pytest.mark.parametrize(
    ("files", "main"),
    [
        (["png", "mp4"], 1),
        (["mp4", "png", "mp4"], 0),
        (["png", "png"], 0),
        (["other", "png", "mp4"], 2),
        # What the provider says of them is wrong: the bytes decide.
        (["png said to be mp4", "mp4"], 1),
        (["png said to be mp4", "mp4 said to be png"], 1),
        (["png", "mp4 without a type"], 1),
        (["png without a type", "png"], 0),
        (["png without a type", "mp4 without a type"], 1),
    ],
)
async def test_a_clip_is_about_its_first_video_else_its_first_file(
    one: Engine, files: list[str], main: int
) -> None:
    """The job's video was the thumbnail; the video itself was nowhere."""
    told = []
    for place, words in enumerate(files):
        is_, _, claim = words.partition(" ")
        data = {"png": png(place), "mp4": MP4, "other": TEXT}[is_]
        one.provider.files[str(place)] = data
        claims = {"png": "image/png", "mp4": "video/mp4", "other": "application/octet-stream"}
        said = None if "without" in claim else claims[words.split()[-1]]
        told.append(Output(f"script:{place}", said, position=place))
    one.provider.told = Prediction("p", "succeeded", outputs=tuple(told))
    job_id = await one.order()
    await one.run(job_id)
    kept = await one.assets(job_id)
    assert len(kept) == len(files)
    assert (await one.clip(job_id)).asset_id == kept[main].id


async def test_files_inside_the_answer_are_stored_and_in_no_row(one: Engine) -> None:
    """A `data:` URI was no output at all; as a URL in a row it would be megabytes."""
    one.provider.told = made(inline(MP4, "video/mp4"), inline(PNG), "data:image/png,%ff%00x")
    job_id = await one.order()
    assert (await one.run(job_id)).status == "completed"
    kept = await one.assets(job_id)
    assert [await one.content(row) for row in kept] == [MP4, PNG, b"\xff\x00x"]
    assert [row.source_url for row in kept] == [None] * 3
    assert one.provider.asked == 1


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("data:image/png;base64,@@@@", "malformed"),
        ("data:image/png;base64,QUJDR", "malformed"),
        ("data:image/png;base64,QQ==QQ==", "malformed"),
        ("data:image/png;base64,", "download"),
        (inline(bytes(10_000_001), "application/zip"), "too_large"),
    ],
)
async def test_a_bad_file_inside_the_answer_fails_alone_and_for_good(
    one: Engine, uri: str, kind: str
) -> None:
    """It says why, the others are stored, and nobody asks for the same bytes again and again."""
    one.provider.told = made(uri, inline(PNG))
    job_id = await one.order()
    assert (await one.run(job_id)).status == "completed"
    bad, good = await one.assets(job_id)
    assert (bad.storage_state, good.storage_state) == ("failed", "stored")
    assert bad.storage_error["type"] == kind
    assert "base64" not in json.dumps(bad.storage_error)
    asked = one.provider.asked
    await one.save_due()
    assert one.provider.asked == asked


async def test_a_kill_between_two_files_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The rows of all files are one transaction; after a restart the rest is fetched."""
    told = made("script:a", inline(png(7)), "script:c")
    async with engine(tmp_path) as before:
        before.provider.told = told
        before.provider.files = {"a": png(1), "c": png(3)}
        before.provider.held = {"c": asyncio.Event()}
        job_id = await before.order()
        running = asyncio.create_task(before.take_up("job", job_id, generate.run))
        while [row.storage_state for row in await before.assets(job_id)] != [
            "stored",
            "stored",
            "pending",
        ]:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        first = [row.id for row in await before.assets(job_id)]
    async with engine(tmp_path) as after:
        after.provider.told = told
        after.provider.files = {"a": png(1), "c": png(3)}
        assert (await after.run(job_id)).status == "completed"
        kept = await after.assets(job_id)
        assert [row.id for row in kept] == first
        assert [await after.content(row) for row in kept] == [png(1), png(7), png(3)]
        assert after.provider.opened == ["c"]
        assert after.provider.submitted == 0


async def test_a_kill_before_a_file_inside_the_answer_is_stored(one: Engine) -> None:
    """Its bytes are in no row: the prediction is looked up for them, which costs nothing."""
    one.provider.told = made(inline(png(1)), inline(png(2)))
    job_id = await one.order()
    running = asyncio.create_task(one.take_up("job", job_id, generate.run))
    while not await one.assets(job_id):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await one.run(job_id)).status == "completed"
    kept = await one.assets(job_id)
    assert [await one.content(row) for row in kept] == [png(1), png(2)]


async def test_a_second_answer_adds_nothing(one: Engine) -> None:
    """A late webhook wakes the job again; a retry finds the prediction as it was."""
    one.provider.told = made("script:a", "script:b")
    one.provider.files = {"a": png(1), "b": png(2)}
    job_id = await one.order()
    await one.run(job_id)
    clip, before = await one.clip(job_id), await one.assets(job_id)

    def again(conn: Connection) -> None:
        jobs.change_clip(conn, clip.id, status="processing")
        jobs.change(conn, job_id, status="processing")
        assets.delete(conn, before[1].id)

    await one.write(again)
    assert (await one.run(job_id)).status == "completed"
    assert [row.id for row in await one.assets(job_id)] == [before[0].id]


async def test_each_file_is_renewed_by_its_own_url(one: Engine) -> None:
    """The first one's new URL was written to whichever asset was saved again."""
    one.provider.told = made("script:old-a", "script:old-b", inline(png(3)))
    job_id = await one.order()
    assert (await one.run(job_id)).status == "completed"
    states = [row.storage_state for row in await one.assets(job_id)]
    assert states == ["unsaved", "unsaved", "stored"]
    one.provider.told = made("script:new-a", "script:new-b", inline(png(3)))
    one.provider.files = {"new-a": png(1), "new-b": png(2)}
    await one.save_due()
    kept = await one.assets(job_id)
    assert [await one.content(row) for row in kept] == [png(1), png(2), png(3)]
    assert [row.source_url for row in kept] == ["script:new-a", "script:new-b", None]


async def test_a_file_that_is_gone_expires_alone(one: Engine) -> None:
    """One file of a prediction may be dead while another one is to be had."""
    one.provider.told = made("script:a", "script:b")
    job_id = await one.order()
    await one.run(job_id)
    one.provider.told = Prediction("p", "succeeded", outputs=(Output("script:b", position=1),))
    one.provider.files = {"b": PNG}
    await one.save_due()
    assert [r.storage_state for r in await one.assets(job_id)] == ["expired", "stored"]


async def test_only_the_main_file_is_waited_for_by_a_combine(one: Engine) -> None:
    """And it is what is joined, not the thumbnail before it."""
    one.provider.told = made("script:gone.png", inline(MP4, "video/mp4"))
    job_id = await one.order(2, combine=True)
    job = await one.run(job_id)
    assert (job.status, job.error_code) == ("completed", None)
    kept = await one.assets(job_id)
    assert [row.role for row in kept] == ["clip"] * 4 + ["combined"]
    assert samples.count_frames(await one.content(kept[-1])) == 8


async def test_a_combine_does_not_wait_for_what_failed_for_good(one: Engine) -> None:
    """It would be `storing` for ever."""
    one.provider.told = made("data:video/mp4;base64,@@@@")
    job = await one.run(await one.order(2, combine=True))
    assert (job.status, job.error_code) == ("failed", "combine_unstored")


async def test_what_is_deleted_stays_deleted_and_the_rest_goes_on(one: Engine) -> None:
    """The main one into the trash: the clip is about it still; for good: about nothing."""
    one.provider.told = made("script:a", inline(png(2)))
    job_id = await one.order()
    await one.run(job_id)
    main, _ = await one.assets(job_id)
    week = timedelta(days=7)
    await one.write(removal.remove, "asset", [main.id], now=one.now, keep=week)
    one.provider.told, one.provider.files = made("script:a", inline(png(2))), {"a": png(1)}
    await one.save_due()
    assert (await one.clip(job_id)).asset_id == main.id
    await one.write(removal.restore, "asset", [main.id], now=one.now)
    assert len(await one.assets(job_id)) == 2
    await one.write(removal.remove, "asset", [main.id], now=one.now, keep=removal.FOREVER)
    assert await one.write(removal.purge, main.user_id, one.now)
    assert (await one.clip(job_id)).asset_id is None
    [left] = await one.assets(job_id)
    assert await one.content(left) == png(2)


async def test_without_keeping_the_unsaved_what_was_stored_is_kept(tmp_path: Path) -> None:
    """REELBASE_KEEP_UNSAVED=0: the clip fails, but paid bytes that are here stay."""
    async with engine(tmp_path, keep_unsaved=False) as one:
        one.provider.told = made("script:gone", inline(PNG), "script:gone-too")
        job_id = await one.order()
        job = await one.run(job_id)
        assert (job.status, job.error_code) == ("failed", "not_saved")
        assert "2 of 3 files" in job.error_message
        assert [row.storage_state for row in await one.assets(job_id)] == ["stored"]


async def test_a_retry_has_outputs_of_its_own(tmp_path: Path) -> None:
    """What an earlier prediction left is neither taken for the new one's nor lost."""
    async with engine(tmp_path, keep_unsaved=False) as one:
        one.provider.told = made("script:gone", inline(png(1)))
        job_id = await one.order()
        await one.run(job_id)
        job = await one.job(job_id)
        assert await one.write(retries.retry, job)
        one.provider.told = made(inline(png(2)), inline(png(3)))
        assert (await one.run(job_id)).status == "completed"
        kept = await one.assets(job_id)
        assert [await one.content(row) for row in kept] == [png(1), png(2), png(3)]
        clip = await one.clip(job_id)
        current = await one.work.database.read(outputs.of_clip, clip.id)
        assert [row.id for row in current] == [row.id for row in kept[1:]]
        assert clip.asset_id == kept[1].id


async def test_an_input_that_is_repeated_is_no_output(one: Engine) -> None:
    """Models tell what they were given: our own token URL must not be fetched as a result."""
    token = one.work.tokens.issued("as_1", "tok_1", "provider", one.now + timedelta(hours=1))
    ours = f"https://we.example/api/v3/assets/as_1/data?token={token}"
    one.provider.told = made(ours, inline(PNG))
    job_id = await one.order()
    await one.run(job_id)
    [kept] = await one.assets(job_id)
    assert await one.content(kept) == PNG
    one.provider.told = made(ours)
    assert (await one.run(await one.order())).error_code == "no_output"


@pytest.mark.parametrize(
    "given",
    ["https://their.example/in.mp4", inline(PNG), inline(PNG * 40)],
    ids=["URL", "file in the request", "long file in the request"],
)
@pytest.mark.parametrize("listed", [False, True], ids=["as sent", "as listed"])
async def test_a_clip_is_not_about_what_the_model_was_given(
    one: Engine, given: str, listed: bool
) -> None:
    """A model that edits names its input first: playing it would hide what was paid for."""
    one.provider.files = {"new.mp4": MP4}
    theirs = "https://provider.example/kept/in.png" if listed else given
    known = {"image": [theirs]} if listed else None
    one.provider.told = made(theirs, "script:new.mp4", input=known)
    job_id = await one.order(given={"image": given})
    assert (await one.run(job_id)).status == "completed"
    [kept] = await one.assets(job_id)
    assert kept.kind == "video"
    assert (await one.clip(job_id)).asset_id == kept.id
    assert one.provider.opened == ["new.mp4"]


async def test_a_file_that_fails_as_nobody_foresaw_leaves_the_others(
    one: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were paid for, and it is tried again: an error of ours is no reason to drop either."""
    one.provider.files = {"a.png": png(1), "b.png": png(2)}
    one.provider.told = made("script:a.png", "script:b.png")
    opened = Scripted.open_output

    def broken(provider: Scripted, url: str) -> AsyncIterator[bytes] | None:
        if url == "script:a.png":
            raise RuntimeError("nobody foresaw this")
        return opened(provider, url)

    with monkeypatch.context() as patch:
        patch.setattr(Scripted, "open_output", broken)
        job_id = await one.order()
        assert (await one.run(job_id)).status == "completed"
    first, second = await one.assets(job_id)
    assert (first.storage_state, second.storage_state) == ("unsaved", "stored")
    await one.save_due()
    first, _ = await one.assets(job_id)
    assert await one.content(first) == png(1)


async def test_more_files_than_are_kept_are_mentioned(one: Engine) -> None:
    """Nothing that was paid for goes without a word."""
    one.provider.told = made(inline(PNG), left_out=7)
    job = await one.run(await one.order())
    assert job.notes == ["clip-1.mp4: the model made 8 files. The first 1 are kept."]


async def test_metrics_and_units_are_written_down(one: Engine) -> None:
    """They are the only source for costs later."""
    metrics = {"predict_time": 1.5, "image_count": 4}
    one.provider.told = made(inline(PNG), metrics=metrics, billable_units=4.0, seconds=1.5)
    job_id = await one.order()
    await one.run(job_id)
    clip = await one.clip(job_id)
    assert (clip.metrics, clip.billable_units, clip.seconds) == (metrics, 4.0, 1.5)


async def test_what_expired_before_it_was_seen_is_listed(one: Engine) -> None:
    """It was paid for: one asset says what became of it."""
    one.provider.told = Prediction("p", "succeeded", error_code="output_expired")
    job_id = await one.order()
    assert (await one.run(job_id)).status == "completed"
    assert [row.storage_state for row in await one.assets(job_id)] == ["expired"]


async def test_an_answer_beyond_reading_ends_the_clip(one: Engine) -> None:
    """It would be as large the next time."""
    one.provider.told = Vanished("The answer is too large.", code="output_too_large")
    assert (await one.run(await one.order())).error_code == "output_too_large"


async def test_one_asset_is_one_file(one: Engine) -> None:
    """By the rows themselves: a second asset for the same file is refused."""
    one.provider.told = made(inline(PNG))
    await one.run(await one.order())
    rows = await one.work.database.read(lambda conn: conn.execute(select(output)).all())
    assert [(row.prediction, row.position) for row in rows] == [(1, 0)]
