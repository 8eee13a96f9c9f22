"""The real `replicate` client against a fake Replicate, over HTTP."""

import asyncio
import hashlib
import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.clock import SystemClock
from server.providers import answers
from server.providers.base import (
    FINAL,
    NotSent,
    Passing,
    Prediction,
    Refused,
    Submission,
    Unknown,
    Vanished,
)
from server.providers.replicate import Replicate
from tests.fakes.replicate import FakeReplicate
from tests.fakes.script import until
from tests.integration.providers.conftest import Service

pytestmark = pytest.mark.anyio

MODEL = "google/veo-3-fast"


def asking(prompt: str = "a cat", **more: object) -> Submission:
    return Submission(model=MODEL, input={"prompt": prompt, **more})


async def finish(provider: Replicate, prediction: Prediction) -> Prediction:
    for _ in range(6000):
        seen = await provider.look_up(prediction.id, model=MODEL, handles={})
        if seen.status in FINAL:
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("it never ended")


async def test_a_prediction_from_submitting_to_its_output(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    before = datetime.now(UTC)
    made = await replicate.submit(asking(image=service.image_url))
    assert made.status == "queued"
    assert made.model == MODEL
    assert made.input == {"prompt": "a cat", "image": service.image_url}
    done = await finish(replicate, made)
    assert done.status == "succeeded"
    assert done.progress == 1.0
    assert done.seconds is not None
    (output,) = done.outputs
    assert output.expires_at is not None
    assert timedelta(minutes=59) < output.expires_at - before < timedelta(minutes=61)
    async with httpx.AsyncClient() as client:
        answer = await client.get(output.url)
    clip = fake_replicate.made[made.id].clip
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(clip).digest()
    # The image was fetched by its token alone.
    assert [request.method for request in service.asked] == ["HEAD", "GET"]
    assert all("authorization" not in request.headers for request in service.asked)
    assert fake_replicate.creates_by_prompt() == {"a cat": 1}


async def test_progress_comes_from_the_logs(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.hold("a cat")
    made = await replicate.submit(asking())
    await until(lambda: "80%" in fake_replicate.made[made.id].logs)
    seen = await replicate.look_up(made.id, model=MODEL, handles={})
    assert (seen.status, seen.progress) == ("processing", 0.8)
    fake_replicate.release()
    assert (await finish(replicate, made)).status == "succeeded"


async def test_the_create_that_is_sent(replicate: Replicate, fake_replicate: FakeReplicate) -> None:
    submission = Submission(MODEL, {"prompt": "a"}, webhook_url="https://we.example/hook?nonce=1")
    fake_replicate.hooks.deliver = False
    await replicate.submit(submission)
    (request,) = fake_replicate.sent("POST", "/v1/models/.*")
    assert b'"webhook":"https://we.example/hook?nonce=1"' in request.body
    assert b'"webhook_events_filter":["start","completed"]' in request.body
    assert "prefer" not in request.headers


async def test_a_model_by_version(replicate: Replicate, fake_replicate: FakeReplicate) -> None:
    made = await replicate.submit(Submission("some/model:abc123", {"prompt": "a"}))
    assert fake_replicate.made[made.id].version == "abc123"


async def test_a_community_model_runs_by_its_latest_version(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.community["someone/model"] = "f00d"
    made = await replicate.submit(Submission("someone/model", {"prompt": "a"}))
    assert fake_replicate.made[made.id].version == "f00d"
    assert len(fake_replicate.made) == 1


@pytest.mark.parametrize("model", ["nonsense", "a/b/c", "../predictions", "a/b?c"])
async def test_a_name_that_is_none_is_refused_before_anything_is_sent(
    replicate: Replicate, fake_replicate: FakeReplicate, model: str
) -> None:
    with pytest.raises(Refused) as refused:
        await replicate.submit(Submission(model, {"prompt": "a"}))
    assert refused.value.code == "model_not_found"
    assert fake_replicate.requests == []


async def test_a_model_that_does_not_exist(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.missing.add("no/such")
    with pytest.raises(Refused, match="could not be found"):
        await replicate.submit(Submission("no/such", {"prompt": "a"}))


async def test_input_that_is_no_json_is_refused_before_anything_is_sent(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    for value in (float("nan"), object(), "\ud800"):
        with pytest.raises(Refused, match="JSON"):
            await replicate.submit(asking(x=value))
    assert fake_replicate.requests == []


# What submitting may raise decides about money: each trouble, and whether a prediction was made.


async def test_429_was_not_sent_and_says_when(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.fault("create", status=429, retry_after=7)
    with pytest.raises(NotSent) as error:
        await replicate.submit(asking())
    assert error.value.retry_after == 7
    assert len(fake_replicate.requests) == 1
    assert not fake_replicate.made


async def test_a_connection_that_never_opened_was_not_sent(fake_replicate: FakeReplicate) -> None:
    provider = Replicate(fake_replicate.token, SystemClock(), base_url="http://127.0.0.1:1")
    with pytest.raises(NotSent):
        await provider.submit(asking())
    await provider.aclose()


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "provider_unauthorized"), (402, "provider_payment"), (422, "provider_refused")],
)
async def test_a_4xx_is_refused_with_the_provider_s_words(
    replicate: Replicate, fake_replicate: FakeReplicate, status: int, code: str
) -> None:
    fake_replicate.fault("create", status=status)
    with pytest.raises(Refused, match="It did not work") as error:
        await replicate.submit(asking())
    assert error.value.code == code


async def test_a_wrong_token_is_refused_and_not_repeated(fake_replicate: FakeReplicate) -> None:
    provider = Replicate("r8_wrong", SystemClock(), base_url=fake_replicate.url)
    with pytest.raises(Refused, match="valid authentication") as error:
        await provider.submit(asking())
    assert "r8_wrong" not in error.value.detail
    await provider.aclose()


async def test_a_bad_input_is_refused(replicate: Replicate, fake_replicate: FakeReplicate) -> None:
    with pytest.raises(Refused, match="prompt is required"):
        await replicate.submit(Submission(MODEL, {"text": "a"}))
    assert fake_replicate.problems.pop() == "- input: prompt is required"


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [{"status": 500}, {"status": 503}, {"drop": True}, {"garbage": True}, {"status": 408}],
)
async def test_anything_else_is_unknown_and_never_repeated(
    replicate: Replicate, fake_replicate: FakeReplicate, made: bool, trouble: dict[str, object]
) -> None:
    fake_replicate.fault("create", made=made, **trouble)
    with pytest.raises(Unknown) as error:
        await replicate.submit(asking("lost"))
    assert error.value.code == "submission_unknown"
    assert len(fake_replicate.sent("POST", ".*")) == 1
    assert len(fake_replicate.made) == made
    # Its traces are in the list, if it was made.
    recent = await replicate.recent(datetime.now(UTC) - timedelta(minutes=1))
    assert [found.input for found in recent] == [{"prompt": "lost"}] * made


async def test_an_answer_that_does_not_come_is_unknown(fake_replicate: FakeReplicate) -> None:
    provider = Replicate(
        fake_replicate.token, SystemClock(), base_url=fake_replicate.url, submit_timeout=0.2
    )
    # So that there is a connection already: what takes its time is the answer.
    await provider.recent(datetime.now(UTC))
    fake_replicate.fault("create", made=True, hold=True)
    with pytest.raises(Unknown):
        await provider.submit(asking())
    await until(lambda: len(fake_replicate.made) == 1)
    await provider.aclose()


# How predictions fail


@pytest.mark.parametrize(
    ("code", "passing"),
    [("E001", False), ("E003", True), ("E004", True), ("E005", False), ("E006", False)],
)
async def test_a_failure_keeps_the_provider_s_code_and_words(
    replicate: Replicate, fake_replicate: FakeReplicate, code: str, passing: bool
) -> None:
    fake_replicate.outcome(code)
    failed = await finish(replicate, await replicate.submit(asking()))
    assert (failed.status, failed.error_code, failed.passing) == ("failed", code, passing)
    assert failed.error_message is not None
    assert code in failed.error_message
    assert failed.outputs == ()


async def test_an_image_out_of_reach_is_e006_without_its_token(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    url = service.image_url.replace("secret", "stale")
    failed = await finish(replicate, await replicate.submit(asking(image=url)))
    assert failed.error_code == "E006"
    assert failed.error_message is not None
    assert "/image.png?…" in failed.error_message
    assert "stale" not in failed.error_message
    assert fake_replicate.fetches[0].status == 401


async def test_canceling(replicate: Replicate, fake_replicate: FakeReplicate) -> None:
    fake_replicate.hold()
    made = await replicate.submit(asking())
    await replicate.cancel(made.id, model=MODEL, handles={})
    seen = await replicate.look_up(made.id, model=MODEL, handles={})
    assert (seen.status, seen.error_code) == ("canceled", "canceled")
    await replicate.cancel(made.id, model=MODEL, handles={})


async def test_aborted_is_a_final_failure(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.outcome("aborted")
    failed = await finish(replicate, await replicate.submit(asking()))
    assert (failed.status, failed.error_code, failed.passing) == ("failed", "aborted", False)
    assert len(await replicate.recent(datetime.now(UTC) - timedelta(minutes=1))) == 1


# Looking up


async def test_what_replicate_does_not_know_has_vanished(replicate: Replicate) -> None:
    for unknown in ("aaaa", "../secret"):
        with pytest.raises(Vanished):
            await replicate.look_up(unknown, model=MODEL, handles={})
        with pytest.raises(Vanished):
            await replicate.cancel(unknown, model=MODEL, handles={})


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 429, "retry_after": 600},
        {"status": 503, "retry_after": 600},
        {"status": 500},
        {"status": 401},
        {"drop": True},
        {"garbage": True},
    ],
)
async def test_trouble_while_looking_up_is_passing(
    replicate: Replicate, fake_replicate: FakeReplicate, trouble: dict[str, object]
) -> None:
    made = await replicate.submit(asking())
    fake_replicate.fault("get", **trouble)
    with pytest.raises(Passing) as error:
        await replicate.look_up(made.id, model=MODEL, handles={})
    assert error.value.retry_after == trouble.get("retry_after")
    # It was the caller's turn at once: the client did not sleep and ask again by itself.
    assert len(fake_replicate.sent("GET", ".*")) == 1


async def test_deleted_outputs_are_told(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    made = await replicate.submit(asking())
    await finish(replicate, made)
    fake_replicate.expire_outputs()
    seen = await replicate.look_up(made.id, model=MODEL, handles={})
    assert (seen.status, seen.outputs, seen.error_code) == ("succeeded", (), "output_expired")


async def test_looking_up_again_renews_output_urls(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    made = await replicate.submit(asking())
    first = await finish(replicate, made)
    fake_replicate.renew_outputs()
    second = await replicate.look_up(made.id, model=MODEL, handles={})
    async with httpx.AsyncClient() as client:
        assert (await client.get(first.outputs[0].url)).status_code == 404
        assert (await client.get(second.outputs[0].url)).status_code == 200


async def test_recent_goes_through_the_pages_until_it_is_too_old(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    fake_replicate.page_size = 2
    for index in range(5):
        await replicate.submit(asking(f"clip {index}"))
    old = fake_replicate.of_prompt("clip 0")
    old.created_at -= 3600
    recent = await replicate.recent(datetime.now(UTC) - timedelta(minutes=1))
    prompts = [(found.input or {})["prompt"] for found in recent]
    assert prompts == ["clip 4", "clip 3", "clip 2", "clip 1"]
    assert len(fake_replicate.sent("GET", "/v1/predictions")) == 3


@pytest.mark.parametrize("trouble", [{"status": 500}, {"garbage": True}, {"status": 200}])
async def test_recent_passes_when_a_page_fails(
    replicate: Replicate, fake_replicate: FakeReplicate, trouble: dict[str, object]
) -> None:
    """Also when what comes is JSON, but no list: it is asked for again, the job does not fail."""
    fake_replicate.fault("list", **trouble)
    with pytest.raises(Passing):
        await replicate.recent(datetime.now(UTC))


async def test_uploading_an_image_for_a_service_without_public_url(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    url = await replicate.upload(b"\x89PNG image", "bild ä.png", "image/png")
    made = await replicate.submit(asking(image=url))
    assert (await finish(replicate, made)).status == "succeeded"
    assert list(fake_replicate.files.values()) == [b"\x89PNG image"]
    fake_replicate.fault("file", status=500)
    with pytest.raises(Passing):
        await replicate.upload(b"x", "x.png", "image/png")


async def test_the_token_is_in_no_log(
    replicate: Replicate, fake_replicate: FakeReplicate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await finish(replicate, await replicate.submit(asking()))
    fake_replicate.fault("create", status=500)
    with pytest.raises(Unknown):
        await replicate.submit(asking())
    assert fake_replicate.token not in caplog.text


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("a.png", ["a.png"]),
        (["a.png", "b.mp4"], ["a.png", "b.mp4"]),
        ({"thumbnail": "a.png", "video": "b.mp4"}, ["a.png", "b.mp4"]),
        ([["a.png"], {"v": ["b.mp4"]}, "a.png"], ["a.png", "b.mp4"]),
        (["The", " answer", " is", " 4", "."], []),
        ("The answer is 4.", []),
    ],
)
async def test_every_file_of_every_shape_is_seen(
    replicate: Replicate, fake_replicate: FakeReplicate, shape: object, names: list[str]
) -> None:
    """A string, a list, an object of names, or nested; in Replicate's order."""
    fake_replicate.makes(shape, {"a.png": b"a", "b.mp4": b"b"})
    done = await finish(replicate, await replicate.submit(asking()))
    assert [one.url.rpartition("/")[2] for one in done.outputs] == names
    assert done.error_code == (None if names else "no_output")


async def test_metrics_are_those_of_the_prediction(
    replicate: Replicate, fake_replicate: FakeReplicate
) -> None:
    """As Replicate tells them: nobody knows yet which of them cost."""
    fake_replicate.metrics = {"image_count": 4, "video_output_duration_seconds": 5.0}
    done = await finish(replicate, await replicate.submit(asking()))
    assert done.metrics is not None
    assert set(done.metrics) == {"predict_time", "total_time", *fake_replicate.metrics}
    assert done.metrics["image_count"] == 4


async def test_an_answer_beyond_the_bound_is_not_read(
    replicate: Replicate, fake_replicate: FakeReplicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up would never succeed; a list, which is of many, may do so later."""
    fake_replicate.makes({"text": "x" * 100_000})
    made = await replicate.submit(asking())
    await until(lambda: fake_replicate.made[made.id].ended)
    monkeypatch.setattr(answers, "MOST_ANSWER_BYTES", 50_000)
    with pytest.raises(Vanished) as error:
        await replicate.look_up(made.id)
    assert error.value.code == "output_too_large"
    with pytest.raises(Passing):
        await replicate.recent(datetime.now(UTC) - timedelta(minutes=1))
