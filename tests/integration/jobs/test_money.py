"""The ways in which a prediction could be paid twice, or one that was paid be lost."""

import base64
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import samples
from tests.api import upload
from tests.fakes.fal import FakeFal
from tests.fakes.replicate import FakeReplicate
from tests.inside import inside
from tests.pair import Pair, beside_fal, generate
from tests.running import ended, until


def predicted(client: httpx.Client, job_id: str) -> str:
    """The prediction of a job's first clip, once it is known."""
    return until(
        lambda: client.get(f"/api/v3/jobs/{job_id}").json()["clips"][0]["prediction_id"],
        what=lambda: "a prediction",
    )


@pytest.fixture
def patient(tmp_path: Path, fake: FakeReplicate) -> Iterator[Pair]:
    """A server that waits 20 s for word of a lost submission."""
    made = Pair(tmp_path / "data", fake, apart=False, REELBASE_SUBMISSION_GRACE="20")
    yield made
    made.server.kill()


def test_clips_that_differ_in_their_input_are_never_mixed_up(pair: Pair) -> None:
    """One lost, the other made but not answered yet: equal prompts do not make them equal."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", status=500)
    slow = pair.fake.fault("create", hold=True, made=True)
    with pair.server.client() as client:
        clips = [{"prompt": "same", "input": {"seed": seed}} for seed in (1, 2)]
        job_id = generate(client, *clips)
        until(lambda: pair.fake.creates_by_prompt() == {"same": 2})
        slow.hold = False
        job = ended(client, job_id)
        assert job["stored"], job
        for clip, seed in zip(job["clips"], (1, 2), strict=True):
            made = pair.fake.made[clip["prediction_id"]]
            assert made.input["seed"] == seed
            path = f"/api/v3/videos/{job['id']}/clips/{clip['filename']}"
            assert client.get(path).content == made.clip
    assert pair.fake.creates_by_prompt() == {"same": 2}


def test_a_lost_prediction_is_known_by_what_was_sent(pair: Pair) -> None:
    """Also when the input overrides the clip's prompt."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", drop=True, made=True)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "a", "input": {"prompt": "b"}}))
        assert job["stored"], job
    assert pair.fake.creates_by_prompt() == {"b": 1}


def test_a_prediction_that_no_longer_tells_its_input_is_not_taken_for_none(pair: Pair) -> None:
    """After an hour's outage the provider has forgotten the input: the owner decides."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", drop=True, made=True)
    pair.fake.fault("list", status=503, times=1000)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "forgotten"})
        until(lambda: pair.fake.creates_by_prompt() == {"forgotten": 1})
        pair.server.kill()
    pair.fake.of_prompt("forgotten").removed = True
    pair.fake.clear_faults("list")
    pair.start()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["error_code"]) == ("failed", "submission_unknown"), job
    assert pair.fake.creates_by_prompt() == {"forgotten": 1}


def test_a_webhook_that_comes_after_giving_up_still_counts(tmp_path: Path) -> None:
    """FAL tells at the end only: the clip goes on with what was paid for."""
    with FakeFal() as fal:
        fal.hooks.held = True
        fal.fault("create", drop=True, made=True)
        with beside_fal(tmp_path / "data", fal) as client:
            body = {"model": "fal-ai/ltx-2/text-to-video", "clips": [{"prompt": "late"}]}
            job_id = client.post("/api/v3/jobs", json=body).json()["id"]
            job = ended(client, job_id)
            assert job["error_code"] == "submission_unknown", job
            fal.hooks.held = False
            until(
                lambda: client.get(f"/api/v3/jobs/{job_id}").json()["stored"],
                what=lambda: "the webhook to set it going",
            )
        assert fal.creates_by_prompt() == {"late": 1}


def test_two_lost_twins_each_get_one(patient: Pair) -> None:
    """Equal inputs, both lost: which is whose makes no difference, and neither is given up."""
    patient.fake.hooks.held = True
    lost = patient.fake.fault("create", drop=True, made=True, hold=True, times=2)
    with patient.server.client() as client:
        job_id = generate(client, {"prompt": "twin"}, {"prompt": "twin"})
        until(lambda: patient.fake.creates_by_prompt() == {"twin": 2})
        lost.hold = False

        def known() -> bool:
            shown = client.get(f"/api/v3/jobs/{job_id}").json()["clips"]
            return all(clip["prediction_id"] for clip in shown)

        until(known, what=lambda: "both to be found")
        patient.fake.hooks.held = False
        job = ended(client, job_id)
        assert job["stored"], job
        assert len({clip["prediction_id"] for clip in job["clips"]}) == 2
    assert patient.fake.creates_by_prompt() == {"twin": 2}


def test_a_provider_that_always_fails_is_asked_twice_at_most(pair: Pair) -> None:
    """500 for ever, nothing listed: sent once more, then left to the owner."""
    pair.fake.hooks.deliver = False
    pair.fake.fault("create", status=500, times=1000)
    with pair.server.client() as client:
        job = ended(client, generate(client, {"prompt": "never"}))
        assert (job["status"], job["error_code"]) == ("failed", "submission_unknown"), job
    assert len(pair.fake.sent("POST", r".*/predictions")) == 2


def test_a_cancel_that_did_not_arrive_is_repeated(pair: Pair) -> None:
    """The provider is busy when it is told to stop: it is told again."""
    pair.fake.hold("c")
    pair.fake.fault("cancel", status=503)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "c"})
        predicted(client, job_id)
        client.post(f"/api/v3/jobs/{job_id}/cancel").raise_for_status()
        assert ended(client, job_id)["status"] == "canceled"
    assert pair.fake.of_prompt("c").status == "canceled"


def test_a_cancel_while_lost_stops_what_turns_up_and_a_retry_looks_first(pair: Pair) -> None:
    """The webhook names the prediction later: it is stopped, and no second one is made."""
    pair.fake.hooks.held = True
    pair.fake.hold("lost")
    pair.fake.fault("list", status=503, times=1000)
    pair.fake.fault("create", drop=True, made=True)
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "lost"})
        until(lambda: pair.fake.creates_by_prompt() == {"lost": 1})
        client.post(f"/api/v3/jobs/{job_id}/cancel").raise_for_status()
        assert ended(client, job_id)["status"] == "canceled"
        pair.fake.hooks.held = False
        until(
            lambda: pair.fake.of_prompt("lost").status == "canceled",
            what=lambda: "the prediction to be stopped",
        )
        pair.fake.clear_faults("list")
        client.post(f"/api/v3/jobs/{job_id}/retry").raise_for_status()
        ended(client, job_id)
    assert pair.fake.creates_by_prompt() == {"lost": 1}


def test_the_daily_limit_counts_each_prediction_when_it_was_made(
    tmp_path: Path, fake: FakeReplicate
) -> None:
    """Retrying an old job is spending of today."""
    pair = Pair(tmp_path / "data", fake, apart=False, REELBASE_DAILY_PREDICTIONS="2")
    fake.outcome("E005", times=100)
    try:
        with pair.server.client() as client:
            job_id = generate(client, {"prompt": "loop"})
            ended(client, job_id)
            with contextlib.closing(sqlite3.connect(tmp_path / "data/reelbase.db")) as conn, conn:
                conn.execute("UPDATE job SET created_at = datetime('now', '-2 days')")
            retry = f"/api/v3/jobs/{job_id}/retry"
            assert client.post(retry).status_code == 202
            ended(client, job_id)
            assert client.post(retry).status_code == 429
            assert client.get("/api/v3/spending").json()["last_24_hours"]["predictions"] == 2
    finally:
        pair.server.kill()
    assert fake.creates_by_prompt() == {"loop": 2}


def test_what_was_made_and_deleted_is_listed_as_expired(pair: Pair) -> None:
    """Down while the provider made it and threw it away: expired, never gone."""
    pair.fake.hold("gone")
    with pair.server.client() as client:
        job_id = generate(client, {"prompt": "gone"})
        predicted(client, job_id)
    pair.server.kill()
    pair.fake.hooks.deliver = False
    pair.fake.release("gone")
    until(lambda: pair.fake.of_prompt("gone").ended)
    pair.fake.expire_outputs("gone")
    pair.start()
    with pair.server.client() as client:
        job = ended(client, job_id)
        assert (job["status"], job["stored"]) == ("completed", False), job
        until(
            lambda: (
                client.get(f"/api/v3/jobs/{job_id}").json()["outputs"][0]["storage_state"]
                == "expired"
            ),
            what=lambda: "the asset to be expired",
        )
    assert pair.fake.creates_by_prompt() == {"gone": 1}


def test_what_waits_for_its_turn_is_canceled_at_once(tmp_path: Path, fake: FakeReplicate) -> None:
    """Behind another prediction: it was never asked for, and will not be."""
    pair = Pair(tmp_path / "data", fake, apart=False, REELBASE_PROVIDER_CONCURRENCY="1")
    fake.hold("first")
    try:
        with pair.server.client() as client:
            first = generate(client, {"prompt": "first"})
            predicted(client, first)
            second = generate(client, {"prompt": "second"})
            client.post(f"/api/v3/jobs/{second}/cancel").raise_for_status()
            assert ended(client, second)["status"] == "canceled"
    finally:
        pair.server.kill()
    assert fake.creates_by_prompt() == {"first": 1}


def test_a_job_of_one_clip_serves_it_as_combined_whatever_was_asked(pair: Pair) -> None:
    """`combine` with one clip has nothing to join; several without it have no one video."""
    with pair.server.client() as client:
        one = ended(client, generate(client, {"prompt": "one"}, combine=True))
        assert one["url"]
        assert client.get(f"/api/v3/videos/{one['id']}/combined").status_code == 200
        two = ended(client, generate(client, {"prompt": "two a"}, {"prompt": "two b"}))
        assert two["url"] is None
        assert client.get(f"/api/v3/videos/{two['id']}/combined").status_code == 404


def test_files_that_go_along_tell_lost_clips_apart(tmp_path: Path, fake: FakeReplicate) -> None:
    """No public URL: equal prompts, other images in the request, both answers lost."""
    settings = {
        "REPLICATE_API_TOKEN": fake.token,
        "REPLICATE_BASE_URL": fake.url,
        "REELBASE_ALLOW_PRIVATE_URLS": fake.media_url.removeprefix("http://"),
        "REELBASE_SUBMISSION_GRACE": "2",
    }
    fake.fault("create", drop=True, made=True, times=2)
    with inside(tmp_path / "data", **settings) as server, server.client() as client:
        images = [upload(client, samples.jpeg(320, size), f"{size}.jpg") for size in (180, 240)]
        clips = [{"prompt": "same", "image_asset_id": image["id"]} for image in images]
        job = ended(client, generate(client, *clips))
        assert job["stored"], job
        sent = [fake.made[clip["prediction_id"]].input["image"] for clip in job["clips"]]
        for uri, image in zip(sent, images, strict=True):
            data = client.get(f"/api/v3/assets/{image['id']}/data").content
            assert uri == f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    assert fake.creates_by_prompt() == {"same": 2}
