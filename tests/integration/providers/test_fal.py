"""The FAL provider against a fake queue, over HTTP."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.clock import SystemClock
from server.providers import answers
from server.providers.base import (
    FINAL,
    BadWebhook,
    NotSent,
    Passing,
    Prediction,
    Refused,
    ResultUnavailable,
    Submission,
    Unknown,
    Vanished,
)
from server.providers.fal import Fal
from tests.fakes.fal import FakeFal
from tests.fakes.script import until
from tests.integration.providers.conftest import Service

pytestmark = pytest.mark.anyio

MODEL = "fal-ai/ltx-2/text-to-video"
FROM_IMAGE = "fal-ai/ltx-2/image-to-video"
Headers = dict[str, str]


def asking(prompt: str = "a dog", webhook_url: str | None = None, **more: object) -> Submission:
    model = FROM_IMAGE if "image_url" in more else MODEL
    return Submission(model, {"prompt": prompt, **more}, webhook_url)


async def look(provider: Fal, made: Prediction) -> Prediction:
    return await provider.look_up(made.id, model=made.model or "", handles=made.handles)


async def finish(provider: Fal, made: Prediction) -> Prediction:
    for _ in range(6000):
        seen = await look(provider, made)
        if seen.status in FINAL:
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("it never ended")


async def test_a_request_from_submitting_to_its_output(
    fal: Fal, fake_fal: FakeFal, service: Service
) -> None:
    made = await fal.submit(asking(image_url=service.image_url))
    assert (made.status, made.queue_position) == ("queued", 0)
    assert made.handles["status_url"].endswith(f"/fal-ai/ltx-2/requests/{made.id}/status")
    done = await finish(fal, made)
    (output,) = done.outputs
    assert (done.status, done.progress, output.content_type) == ("succeeded", 1.0, "video/mp4")
    assert done.seconds is not None
    assert output.expires_at is not None
    kept = output.expires_at - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < kept < timedelta(days=7, hours=1)
    async with httpx.AsyncClient() as client:
        assert (await client.get(output.url)).content == fake_fal.made[made.id].clip
    assert [request.method for request in service.asked] == ["HEAD", "GET"]
    (sent,) = fake_fal.sent("POST", ".*")
    assert sent.headers["x-fal-no-retry"] == "1"
    assert (
        '"expiration_duration_seconds": 604800'
        in (sent.headers["x-fal-object-lifecycle-preference"])
    )


async def test_queue_position_and_progress(fal: Fal, fake_fal: FakeFal) -> None:
    fake_fal.pace = 0.2
    fake_fal.hold()
    made = await fal.submit(asking())
    seen = await look(fal, made)
    assert (seen.status, seen.queue_position) == ("queued", 2)
    await until(lambda: "80%" in fake_fal.made[made.id].logs)
    seen = await look(fal, made)
    assert (seen.status, seen.progress) == ("processing", 0.8)


async def test_without_handles_the_model_tells_where_to_look(fal: Fal) -> None:
    made = await fal.submit(asking())
    await finish(fal, made)
    seen = await fal.look_up(made.id, model=MODEL, handles={})
    assert seen.status == "succeeded"


async def test_the_key_goes_to_the_queue_alone(fal: Fal, fake_fal: FakeFal) -> None:
    made = await fal.submit(asking())
    foreign = {
        name: url.replace(fake_fal.url, "https://evil.example")
        for name, url in made.handles.items()
    }
    await finish(fal, Prediction(id=made.id, status="queued", model=MODEL, handles=foreign))
    for unknown in ("../x", "a/b"):
        with pytest.raises(Vanished):
            await fal.look_up(unknown, model=MODEL, handles={})


async def test_429_was_not_sent_and_says_when(fal: Fal, fake_fal: FakeFal) -> None:
    fake_fal.fault("create", status=429, retry_after=3)
    with pytest.raises(NotSent) as error:
        await fal.submit(asking())
    assert error.value.retry_after == 3
    assert not fake_fal.made


async def test_a_connection_that_never_opened_was_not_sent() -> None:
    provider = Fal("key", SystemClock(), queue_url="http://127.0.0.1:1")
    with pytest.raises(NotSent):
        await provider.submit(asking())
    await provider.aclose()


async def test_refusals(fal: Fal, fake_fal: FakeFal) -> None:
    with pytest.raises(Refused, match="prompt is required"):
        await fal.submit(Submission(MODEL, {}))
    assert fake_fal.problems.pop() == "prompt is required"
    with pytest.raises(Refused, match="not a FAL model"):
        await fal.submit(Submission("nonsense", {"prompt": "a"}))
    provider = Fal("wrong", SystemClock(), queue_url=fake_fal.url)
    with pytest.raises(Refused) as error:
        await provider.submit(asking())
    assert error.value.code == "provider_unauthorized"
    await provider.aclose()


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("trouble", [{"status": 500}, {"drop": True}, {"garbage": True}])
async def test_anything_else_is_unknown_and_never_repeated(
    fal: Fal, fake_fal: FakeFal, made: bool, trouble: dict[str, object]
) -> None:
    fake_fal.fault("create", made=made, **trouble)
    with pytest.raises(Unknown):
        await fal.submit(asking())
    assert len(fake_fal.sent("POST", ".*")) == 1
    assert len(fake_fal.made) == made
    assert not fal.lists_reliably
    assert await fal.recent(datetime.now(UTC) - timedelta(minutes=1)) == []


async def test_an_answer_that_does_not_come_is_unknown(fake_fal: FakeFal) -> None:
    provider = Fal(fake_fal.key, SystemClock(), queue_url=fake_fal.url, submit_timeout=0.2)
    fake_fal.fault("create", made=True, hold=True)
    with pytest.raises(Unknown):
        await provider.submit(asking())
    await provider.aclose()


@pytest.mark.parametrize(
    ("outcome", "code", "passing", "words"),
    [
        ("E003", "runner_scheduling_failure", True, "No runner"),
        ("E004", "runner_disconnected", True, "disconnected"),
        ("E005", "content_policy_violation", False, "image_url: The content"),
        ("E006", "file_download_error", False, "Failed to download"),
    ],
)
async def test_failures_keep_fal_s_type_and_words(
    fal: Fal, fake_fal: FakeFal, outcome: str, code: str, passing: bool, words: str
) -> None:
    fake_fal.outcome(outcome)
    failed = await finish(fal, await fal.submit(asking()))
    assert (failed.status, failed.error_code, failed.passing) == ("failed", code, passing)
    assert words in (failed.error_message or "")


async def test_an_image_out_of_reach_without_its_token(
    fal: Fal, fake_fal: FakeFal, service: Service
) -> None:
    url = service.image_url.replace("secret", "stale")
    failed = await finish(fal, await fal.submit(asking(image_url=url)))
    assert failed.error_code == "file_download_error"
    assert "/image.png?…" in (failed.error_message or "")


async def test_canceling(fal: Fal, fake_fal: FakeFal) -> None:
    fake_fal.hold()
    made = await fal.submit(asking())
    await fal.cancel(made.id, model=MODEL, handles=made.handles)
    seen = await look(fal, made)
    assert (seen.status, seen.error_code) == ("canceled", "canceled")
    await fal.cancel(made.id, model=MODEL, handles=made.handles)
    with pytest.raises(Vanished):
        await fal.cancel("unknown", model=MODEL, handles={})


@pytest.mark.parametrize("where", ["status", "response"])
@pytest.mark.parametrize(
    "trouble", [{"status": 429, "retry_after": 9}, {"status": 502}, {"status": 401}, {"drop": True}]
)
async def test_trouble_while_looking_up_is_passing(
    fal: Fal, fake_fal: FakeFal, where: str, trouble: dict[str, object]
) -> None:
    made = await fal.submit(asking())
    await until(lambda: fake_fal.made[made.id].ended)
    fake_fal.fault(where, **trouble)
    with pytest.raises(Passing) as error:
        await look(fal, made)
    assert error.value.retry_after == trouble.get("retry_after")
    assert (await look(fal, made)).status == "succeeded"


async def test_vanished_and_deleted(fal: Fal, fake_fal: FakeFal) -> None:
    with pytest.raises(Vanished):
        await fal.look_up("unknown", model=MODEL, handles={})
    made = await fal.submit(asking())
    await finish(fal, made)
    fake_fal.expire_outputs()
    seen = await look(fal, made)
    assert (seen.status, seen.outputs, seen.error_code) == ("succeeded", (), "output_expired")


async def test_a_webhook_tells_of_the_end(fal: Fal, fake_fal: FakeFal, service: Service) -> None:
    made = await fal.submit(asking(webhook_url=service.hook_url))
    await until(lambda: service.heard)
    (hook,) = service.heard
    assert hook.query == {"nonce": "n1"}
    told = await fal.verify_webhook(hook.body, hook.headers)
    assert (told.id, told.status) == (made.id, "succeeded")
    assert told.outputs[0].url == (await look(fal, made)).outputs[0].url
    fake_fal.outcome("E006")
    await fal.submit(asking(webhook_url=service.hook_url))
    await until(lambda: len(service.heard) == 2)
    told = await fal.verify_webhook(service.heard[1].body, service.heard[1].headers)
    assert (told.status, told.error_code) == ("failed", "file_download_error")
    assert len(fake_fal.sent("GET", "/.well-known/jwks.json")) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body, headers: (body + b" ", headers),
        lambda body, headers: (body, {}),
        lambda body, headers: (body, {**headers, "x-fal-webhook-signature": "00" * 64}),
        lambda body, headers: (body, {**headers, "x-fal-webhook-signature": "zz"}),
        lambda body, headers: (body, {**headers, "x-fal-webhook-user-id": "other"}),
        lambda body, headers: (body, {**headers, "x-fal-webhook-timestamp": "soon"}),
        lambda body, headers: (
            body,
            {**headers, "x-fal-webhook-timestamp": f"{time.time() + 1:.0f}"},
        ),
    ],
)
async def test_what_is_not_genuine_is_refused(
    fal: Fal, fake_fal: FakeFal, spoil: Callable[[bytes, Headers], tuple[bytes, Headers]]
) -> None:
    made = await fal.submit(asking())
    body, headers = fake_fal.signed(made.id)
    assert (await fal.verify_webhook(body, headers)).id == made.id
    with pytest.raises(BadWebhook):
        await fal.verify_webhook(*spoil(body, headers))
    for at in (time.time() - 600, time.time() + 600):
        with pytest.raises(BadWebhook, match="tolerance"):
            await fal.verify_webhook(*fake_fal.signed(made.id, at=at))


async def test_rotated_keys_are_fetched_anew(
    fal: Fal, fake_fal: FakeFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await fal.submit(asking())
    await fal.verify_webhook(*fake_fal.signed(made.id))
    fake_fal.rotate_keys()
    with pytest.raises(BadWebhook):
        await fal.verify_webhook(*fake_fal.signed(made.id))
    monkeypatch.setattr("server.providers.renewed._AGE", 0.0)
    assert (await fal.verify_webhook(*fake_fal.signed(made.id))).id == made.id


@pytest.mark.parametrize("trouble", [{"status": 500}, {"drop": True}, {"garbage": True}])
async def test_keys_out_of_reach_are_a_passing_trouble(
    fal: Fal, fake_fal: FakeFal, trouble: dict[str, object]
) -> None:
    made = await fal.submit(asking())
    fake_fal.fault("jwks", **trouble)
    with pytest.raises(Passing):
        await fal.verify_webhook(*fake_fal.signed(made.id))


async def test_the_key_is_in_no_log(
    fal: Fal, fake_fal: FakeFal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await finish(fal, await fal.submit(asking()))
    assert fake_fal.key not in caplog.text


async def test_every_file_of_every_shape_is_seen(fal: Fal, fake_fal: FakeFal) -> None:
    """As objects, as plain strings, inside the answer; in FAL's order."""
    uri = "data:image/png;base64,QUJD"
    fake_fal.makes(
        {
            "images": [{"url": "a.png", "content_type": "image/png"}, {"url": "b.png"}],
            "video": "c.mp4",
            "mask": {"url": uri, "content_type": "image/png"},
            "prompt": "a dog",
            "timings": {"inference": 1.5},
            "has_nsfw_concepts": [False, False],
        },
        {"a.png": b"a", "b.png": b"b", "c.mp4": b"c"},
    )
    done = await finish(fal, await fal.submit(asking()))
    names = [one.url.rpartition("/")[2] if one.url != uri else uri for one in done.outputs]
    assert names == ["a.png", "b.png", "c.mp4", uri]
    assert [one.content_type for one in done.outputs] == ["image/png"] * 2 + [
        "video/mp4",
        "image/png",
    ]
    assert all(one.expires_at is not None for one in done.outputs)


async def test_a_text_is_no_file(fal: Fal, fake_fal: FakeFal) -> None:
    """A model that only speaks made nothing that could be kept."""
    fake_fal.makes({"output": "See https://a.example/b.png for more.", "partial": False})
    done = await finish(fal, await fal.submit(asking()))
    assert (done.status, done.error_code, done.outputs) == ("succeeded", "no_output", ())


async def test_units_and_metrics_come_with_the_result(fal: Fal, fake_fal: FakeFal) -> None:
    """Units are a header of the result: no webhook has them."""
    fake_fal.units = "2.5"
    done = await finish(fal, await fal.submit(asking()))
    assert done.billable_units == 2.5
    assert done.metrics is not None
    assert done.metrics["inference_time"] == done.seconds


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 403}, {"drop": True}])
async def test_a_result_that_does_not_come_is_no_end(
    fal: Fal, fake_fal: FakeFal, trouble: dict[str, object]
) -> None:
    """It was paid for: temporary, with FAL's words, and told apart from a silent queue."""
    made = await fal.submit(asking())
    await finish(fal, made)
    fake_fal.fault("response", **trouble)
    with pytest.raises(ResultUnavailable) as error:
        await look(fal, made)
    if "status" in trouble:
        assert error.value.detail == f"FAL answered {trouble['status']}: It did not work."
    assert (await look(fal, made)).status == "succeeded"


async def test_a_page_instead_of_a_result_is_not_a_model_that_made_nothing(
    fal: Fal, fake_fal: FakeFal
) -> None:
    """A gateway's HTML with 200 ended the clip as `no_output`."""
    made = await fal.submit(asking())
    await finish(fal, made)
    fake_fal.fault("response", garbage=True)
    with pytest.raises(ResultUnavailable, match="no JSON"):
        await look(fal, made)


async def test_a_result_beyond_the_bound_is_not_read(
    fal: Fal, fake_fal: FakeFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is whole in memory; and it would be as large the next time."""
    fake_fal.makes({"text": "x" * 100_000})
    made = await fal.submit(asking())
    await until(lambda: fake_fal.made[made.id].ended)
    monkeypatch.setattr(answers, "MOST_ANSWER_BYTES", 50_000)
    with pytest.raises(Vanished) as error:
        await look(fal, made)
    assert error.value.code == "output_too_large"
