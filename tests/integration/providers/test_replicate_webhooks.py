"""Replicate's webhooks: genuine ones are read, all others refused."""

import time
from collections.abc import Callable

import pytest

from server.clock import SystemClock
from server.providers.base import BadWebhook, Passing, Submission
from server.providers.replicate import Replicate
from tests.fakes.replicate import FakeReplicate
from tests.fakes.script import until
from tests.integration.providers.conftest import Service

pytestmark = pytest.mark.anyio

Headers = dict[str, str]


async def submit(provider: Replicate, service: Service, prompt: str = "a cat") -> str:
    hooked = Submission("google/veo-3", {"prompt": prompt}, webhook_url=service.hook_url)
    return (await provider.submit(hooked)).id


async def test_start_and_completed_arrive_signed(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    prediction_id = await submit(replicate, service)
    await until(lambda: len(service.heard) == 2)
    assert all(request.query == {"nonce": "n1"} for request in service.heard)
    told = [await replicate.verify_webhook(hook.body, hook.headers) for hook in service.heard]
    assert [(seen.id, seen.status) for seen in told] == [
        (prediction_id, "processing"),
        (prediction_id, "succeeded"),
    ]
    assert told[1].outputs[0].url == (await replicate.look_up(prediction_id)).outputs[0].url
    # The secret was fetched once.
    assert len(fake_replicate.sent("GET", "/v1/webhooks/default/secret")) == 1


async def test_they_may_repeat_come_out_of_order_or_not_at_all(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    fake_replicate.hooks.repeat = 2
    fake_replicate.hooks.reorder = True
    prediction_id = await submit(replicate, service)
    await until(lambda: len(fake_replicate.deliveries) == 4)
    told = [await replicate.verify_webhook(hook.body, hook.headers) for hook in service.heard]
    assert told[0].status == "succeeded"
    assert {"processing"} == {seen.status for seen in told[2:]}
    assert len({hook.headers["webhook-id"] for hook in service.heard}) == 2
    assert fake_replicate.redeliver(prediction_id) == 200
    fake_replicate.hooks.omit = {"completed", "start"}
    quiet = await submit(replicate, service, "quiet")
    await until(lambda: fake_replicate.made[quiet].ended)
    assert not any(sent.prediction_id == quiet for sent in fake_replicate.deliveries)


async def test_completed_is_sent_again_until_it_is_taken(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    fake_replicate.hooks.retry_wait = 0.02
    service.hook_status = 503
    await submit(replicate, service)
    await until(lambda: len(fake_replicate.deliveries) >= 3)
    service.hook_status = 200
    await until(lambda: fake_replicate.deliveries[-1].status == 200)
    assert [sent.event for sent in fake_replicate.deliveries].count("start") == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body, headers: (body + b" ", headers),
        lambda body, headers: (b"", headers),
        lambda body, headers: (b"\xff\xfe", headers),
        lambda body, headers: (body, {}),
        lambda body, headers: (body, {**headers, "webhook-signature": "v1,AAAA"}),
        lambda body, headers: (body, {**headers, "webhook-signature": "nonsense"}),
        lambda body, headers: (body, {**headers, "webhook-signature": "v1,a"}),
        lambda body, headers: (body, {**headers, "webhook-timestamp": "soon"}),
        lambda body, headers: (body, {**headers, "webhook-timestamp": str(int(time.time()) + 1)}),
        lambda body, headers: (body, {**headers, "webhook-id": "msg_other"}),
    ],
)
async def test_what_is_not_genuine_is_refused(
    replicate: Replicate,
    fake_replicate: FakeReplicate,
    service: Service,
    spoil: Callable[[bytes, Headers], tuple[bytes, Headers]],
) -> None:
    prediction_id = await submit(replicate, service)
    body, headers = fake_replicate.signed(prediction_id)
    assert (await replicate.verify_webhook(body, headers)).id == prediction_id
    with pytest.raises(BadWebhook) as error:
        await replicate.verify_webhook(*spoil(body, headers))
    assert error.value.status == 401
    assert fake_replicate.secret not in error.value.detail


@pytest.mark.parametrize("age", [-600, 600])
async def test_an_old_one_is_refused(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service, age: int
) -> None:
    prediction_id = await submit(replicate, service)
    with pytest.raises(BadWebhook, match="tolerance"):
        await replicate.verify_webhook(*fake_replicate.signed(prediction_id, at=time.time() + age))


async def test_a_rotated_secret_is_fetched_anew(
    replicate: Replicate,
    fake_replicate: FakeReplicate,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prediction_id = await submit(replicate, service)
    await replicate.verify_webhook(*fake_replicate.signed(prediction_id))
    fake_replicate.secret = "whsec_bmV3IHNlY3JldA=="
    # Not at once: whoever sends bad signatures could make us ask and ask.
    with pytest.raises(BadWebhook):
        await replicate.verify_webhook(*fake_replicate.signed(prediction_id))
    monkeypatch.setattr("server.providers.renewed._AGE", 0.0)
    seen = await replicate.verify_webhook(*fake_replicate.signed(prediction_id))
    assert seen.id == prediction_id


async def test_a_given_secret_is_not_asked_for(fake_replicate: FakeReplicate) -> None:
    provider = Replicate("x", SystemClock(), base_url=fake_replicate.url, webhook_secret="whsec_!")
    with pytest.raises(BadWebhook) as error:
        await provider.verify_webhook(
            b"{}",
            {
                "webhook-id": "1",
                "webhook-timestamp": str(int(time.time())),
                "webhook-signature": "v1,a",
            },
        )
    assert "whsec" not in error.value.detail
    assert fake_replicate.requests == []
    await provider.aclose()


async def test_a_secret_out_of_reach_is_a_passing_trouble(
    replicate: Replicate, fake_replicate: FakeReplicate, service: Service
) -> None:
    prediction_id = await submit(replicate, service)
    fake_replicate.fault("secret", status=500)
    with pytest.raises(Passing):
        await replicate.verify_webhook(*fake_replicate.signed(prediction_id))
    assert (await replicate.verify_webhook(*fake_replicate.signed(prediction_id))).id
