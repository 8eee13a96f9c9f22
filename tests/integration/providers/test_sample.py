"""The sample provider: in process, over HTTP for its images, and through restarts."""

import asyncio
import base64
import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image

from server.clock import SystemClock
from server.errors import StorageFull
from server.media import Media
from server.providers.base import (
    FINAL,
    BadWebhook,
    NotSent,
    Prediction,
    Refused,
    Submission,
    Vanished,
)
from server.providers.sample import Sample
from tests.fakes.script import until
from tests.integration.providers.conftest import Service

pytestmark = pytest.mark.anyio


class Brush:
    """Renders by writing what it was asked for, once `free`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.error: Exception | None = None

    async def render(self, out: Path, **asked: object) -> None:
        self.asked.append(asked)
        out.write_bytes(b"half")
        await self.free.wait()
        if self.error:
            raise self.error
        out.write_bytes(f"video of {asked['prompt']}".encode())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def brush() -> Brush:
    return Brush()


@pytest.fixture
async def sample(brush: Brush, tmp_path: Path, client: httpx.AsyncClient) -> AsyncIterator[Sample]:
    provider = Sample(brush, tmp_path / "samples", client, SystemClock())
    yield provider
    await provider.aclose()


def asking(prompt: str = "a bird", **more: object) -> Submission:
    return Submission("sample", {"prompt": prompt, **more})


async def finish(provider: Sample, prediction_id: str) -> Prediction:
    for _ in range(6000):
        seen = await provider.look_up(prediction_id)
        if seen.status in FINAL:
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("it never ended")


async def read(provider: Sample, prediction: Prediction) -> bytes:
    pieces = provider.open_output(prediction.outputs[0].url)
    assert pieces is not None
    return b"".join([piece async for piece in pieces])


async def test_a_sample_from_submitting_to_its_output(
    sample: Sample, brush: Brush, service: Service
) -> None:
    brush.free.clear()
    made = await sample.submit(asking(image=service.image_url, duration=2, aspect_ratio="1:1"))
    assert (made.status, made.model, made.cost) == ("queued", "sample", 0.0)
    await until(lambda: brush.asked)
    seen = await sample.look_up(made.id)
    assert (seen.status, seen.progress, seen.outputs) == ("processing", 0.3, ())
    brush.free.set()
    done = await finish(sample, made.id)
    assert (done.status, done.progress) == ("succeeded", 1.0)
    expires = done.outputs[0].expires_at
    assert expires is not None
    assert timedelta(minutes=59) < expires - datetime.now(UTC) <= timedelta(hours=1)
    assert await read(sample, done) == b"video of Sample: a bird"
    assert brush.asked == [
        {
            "prompt": "Sample: a bird",
            "image": service.image,
            "duration": 2.0,
            "width": 480,
            "height": 480,
            "fps": 24,
        }
    ]
    assert sample.open_output("https://elsewhere.example/1.mp4") is None


async def test_a_real_video_with_an_image_in_the_input(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    provider = Sample(Media(), tmp_path, client, SystemClock())
    made = await provider.submit(asking(image=uri, duration=1))
    done = await finish(provider, made.id)
    assert done.status == "succeeded", done.error_message
    with av.open(io.BytesIO(await read(provider, done)), "r") as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 360)
        assert video.duration is not None
        assert abs(video.duration / 1_000_000 - 1) < 0.1
    await provider.aclose()


@pytest.mark.parametrize(
    ("change", "words"),
    [("stale", "answered with 401"), ("http://127.0.0.1:1/?token=stale", "could not be fetched")],
)
async def test_an_image_out_of_reach_is_e006_without_its_token(
    sample: Sample, brush: Brush, service: Service, change: str, words: str
) -> None:
    url = change if "/" in change else service.image_url.replace("secret", change)
    failed = await finish(sample, (await sample.submit(asking(image=url))).id)
    assert (failed.status, failed.error_code) == ("failed", "E006")
    assert words in (failed.error_message or "")
    assert "stale" not in (failed.error_message or "")
    assert brush.asked == []


async def test_the_last_frame_is_fetched_too(sample: Sample, service: Service) -> None:
    url = service.image_url.replace("secret", "stale")
    made = await sample.submit(asking(image=service.image_url, last_frame_image=url))
    assert (await finish(sample, made.id)).error_code == "E006"
    assert [request.query["token"] for request in service.asked] == ["secret-token", "stale-token"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(StorageFull("no room"), "storage_full"), (OSError(5, "x"), "provider_failed")],
)
async def test_a_failure_is_told(sample: Sample, brush: Brush, error: Exception, code: str) -> None:
    brush.error = error
    failed = await finish(sample, (await sample.submit(asking())).id)
    assert (failed.status, failed.error_code) == ("failed", code)
    assert failed.error_message


async def test_a_restart_begins_again_what_was_interrupted(
    sample: Sample, brush: Brush, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    brush.free.clear()
    made = await sample.submit(asking())
    await until(lambda: brush.asked)
    await sample.aclose()
    brush.free.set()
    again = Sample(brush, tmp_path / "samples", client, SystemClock())
    first, second = await asyncio.gather(again.look_up(made.id), again.look_up(made.id))
    assert {first.status, second.status} <= {"queued", "processing", "succeeded"}
    done = await finish(again, made.id)
    assert await read(again, done) == b"video of Sample: a bird"
    assert len(brush.asked) == 2
    # After yet another restart it is still known, and not drawn again.
    third = Sample(brush, tmp_path / "samples", client, SystemClock())
    assert (await third.look_up(made.id)).outputs == done.outputs
    assert len(brush.asked) == 2


async def test_recent_lists_everything_with_its_input(sample: Sample) -> None:
    since = datetime.now(UTC)
    assert await sample.recent(since) == []
    ids = [(await sample.submit(asking(f"clip {index}"))).id for index in range(3)]
    listed = await sample.recent(since)
    assert sorted(found.id for found in listed) == sorted(ids)
    assert {(found.input or {})["prompt"] for found in listed} == {"clip 0", "clip 1", "clip 2"}
    assert await sample.recent(datetime.now(UTC)) == []
    assert sample.lists_reliably


async def test_canceling(sample: Sample, brush: Brush) -> None:
    brush.free.clear()
    made = await sample.submit(asking())
    await until(lambda: brush.asked)
    await sample.cancel(made.id)
    assert (await sample.look_up(made.id)).status == "canceled"
    brush.free.set()
    done = await finish(sample, (await sample.submit(asking())).id)
    await sample.cancel(done.id)
    assert (await sample.look_up(done.id)).status == "succeeded"


async def test_outputs_are_deleted_after_an_hour(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await finish(sample, (await sample.submit(asking("old"))).id)
    monkeypatch.setattr("server.providers.sample_folder.KEPT", 0.0)
    stray = tmp_path / "samples" / "sample-stray.part.json"
    stray.touch()
    os.utime(stray, (0, 0))
    await sample.submit(asking("new"))
    with pytest.raises(Vanished):
        await sample.look_up(old.id)
    with pytest.raises(Vanished):
        await read(sample, old)
    assert not stray.exists()


async def test_what_is_not_known_has_vanished(sample: Sample) -> None:
    for unknown in ("sample-000000000000000000000000", "../reelbase", ""):
        with pytest.raises(Vanished):
            await sample.look_up(unknown)
        with pytest.raises(Vanished):
            await sample.cancel(unknown)
        pieces = sample.open_output(f"sample:{unknown}")
        assert pieces is not None
        with pytest.raises(Vanished):
            await anext(pieces)


@pytest.mark.parametrize(
    "given",
    [{"prompt": 3}, {"duration": 0}, {"duration": "4"}, {"duration": 1e9}, {"aspect_ratio": "5:1"}],
)
async def test_what_cannot_be_drawn_is_refused(sample: Sample, given: dict[str, object]) -> None:
    with pytest.raises(Refused):
        await sample.submit(Submission("sample", {"prompt": "a", **given}))
    assert await sample.recent(datetime.fromtimestamp(0, UTC)) == []


async def test_a_folder_that_cannot_be_written_is_not_sent(
    brush: Brush, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    (tmp_path / "file").touch()
    provider = Sample(brush, tmp_path / "file" / "samples", client, SystemClock())
    with pytest.raises(NotSent):
        await provider.submit(asking())


async def test_no_webhook_is_genuine(sample: Sample) -> None:
    with pytest.raises(BadWebhook):
        await sample.verify_webhook(b"{}", {})
