"""Generating with FAL: the queue API against a faithful fake, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import samples
from tests.api import code, upload
from tests.fakes.fal import FakeFal
from tests.pair import beside_fal
from tests.running import ended

TEXT, IMAGE = "fal-ai/ltx-2/text-to-video", "fal-ai/ltx-2/image-to-video"


@pytest.fixture
def fal() -> Iterator[FakeFal]:
    """A FAL that remembers what it was asked."""
    with FakeFal() as made:
        yield made
        assert made.problems == []


@pytest.fixture
def client(tmp_path: Path, fal: FakeFal) -> Iterator[httpx.Client]:
    """A client of a server that uses it."""
    with beside_fal(tmp_path / "data", fal) as made:
        yield made


def generate(client: httpx.Client, model: str, *clips: dict[str, object]) -> dict[str, object]:
    answer = client.post("/api/v3/jobs", json={"model": model, "clips": list(clips)})
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])


def test_an_image_becomes_a_stored_video(client: httpx.Client, fal: FakeFal) -> None:
    """Submitted once, told by webhook, fetched by token, stored."""
    image = upload(client, samples.jpeg(320, 180), "a.jpg")
    job = generate(client, IMAGE, {"prompt": "a wave", "image_asset_id": image["id"]})
    assert (job["status"], job["stored"], job["provider"]) == ("completed", True, "fal"), job
    assert {one.status for one in fal.fetches} == {200}
    kept = client.get(f"/api/v3/videos/{job['id']}/combined").content
    assert kept == fal.of_prompt("a wave").clip
    assert fal.creates_by_prompt() == {"a wave": 1}


def test_without_webhooks_polling_does_it(client: httpx.Client, fal: FakeFal) -> None:
    """A missing webhook costs nothing but time."""
    fal.hooks.deliver = False
    assert generate(client, TEXT, {"prompt": "slowly", "duration": 6})["stored"]


@pytest.mark.parametrize("fault", [{"drop": True, "made": True}, {"status": 500, "made": True}])
def test_a_lost_request_is_found_by_its_webhook(
    client: httpx.Client, fal: FakeFal, fault: dict[str, object]
) -> None:
    """FAL lists nothing reliably: the nonce in the webhook tells."""
    fal.fault("create", **fault)
    job = generate(client, TEXT, {"prompt": "found"})
    assert (job["status"], job["stored"]) == ("completed", True), job
    assert fal.creates_by_prompt() == {"found": 1}


def test_what_cannot_be_told_is_left_to_the_owner(client: httpx.Client, fal: FakeFal) -> None:
    """No webhook, no list: `submission_unknown`, never a guess with money."""
    fal.hooks.deliver = False
    fal.fault("create", drop=True, made=True)
    job = generate(client, TEXT, {"prompt": "unknown"})
    assert (job["status"], job["error_code"]) == ("failed", "submission_unknown"), job
    assert fal.creates_by_prompt() == {"unknown": 1}


def test_a_busy_queue_is_asked_again(client: httpx.Client, fal: FakeFal) -> None:
    """429 is no answer: the request surely did not arrive."""
    fal.fault("create", status=429, retry_after=1)
    assert generate(client, TEXT, {"prompt": "busy"})["stored"]
    assert fal.creates_by_prompt() == {"busy": 1}


def test_forged_webhooks_are_refused(client: httpx.Client, fal: FakeFal) -> None:
    """Ed25519 over the raw body, by FAL's published keys."""
    job = generate(client, TEXT, {"prompt": "signed"})
    made = fal.of_prompt("signed")
    body, headers = fal.signed(made.id)
    url = "/api/v3/webhooks/fal"
    assert client.post(url, content=body, headers=headers).json() == {"known": True}
    assert code(client.post(url, content=body + b" ", headers=headers)) == (401, "bad_webhook")
    assert code(client.post(url, content=body)) == (401, "bad_webhook")
    for number in ("9" * 400, "9" * 5000, "soon"):
        late = {**headers, "x-fal-webhook-timestamp": number}
        assert code(client.post(url, content=body, headers=late)) == (401, "bad_webhook")
    assert len(client.get(f"/api/v3/jobs/{job['id']}").json()["outputs"]) == 1
